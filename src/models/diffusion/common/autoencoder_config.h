/// Interfaces of autoencoders: two graphs, images to latents and latents to images.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "models/diffusion/common/component_config.h"

namespace onnxport::models {

/// The parts of an autoencoder.
inline constexpr const char *kVaeEncoder = "vae_encoder", *kVaeDecoder = "vae_decoder";

struct AutoencoderInterface {
  /// Keys of config.json with the channels of images and of latents.
  const char *image_channels = "in_channels", *latent_channels = "latent_channels";
  const char* levels = "";   ///< key of a list; each level but one halves the extents of an image
  const char* encoded = "";  ///< output of the encoder
};

/// vae_encoder: sample -> AutoencoderInterface::encoded; vae_decoder: latent_sample -> sample.
class AutoencoderOnnxConfig : public ComponentOnnxConfig {
 public:
  AutoencoderOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                        const AutoencoderInterface& interface)
      : ComponentOnnxConfig(std::move(config), std::move(task), std::move(options)), interface_(interface) {}
  std::string part() const override { return options().part; }
  std::vector<ComponentInput> tensors() const override;
  AxesByName outputs() const override;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  void describe(ExportPlan& plan, const PlanRequest& request) const override;

 private:
  std::int64_t factor() const;

  AutoencoderInterface interface_;
};

/// Registers an autoencoder. `definition`: from component_definition(). `encode`: images [B, C, H, W] -> the
/// output `interface.encoded`; `decode`: latents [B, C, H, W] -> images. Both take the scope of the whole
/// model.
template <class Config>
void register_autoencoder(TasksManager& tasks, ModelDefinition definition,
                          const AutoencoderInterface& interface,
                          Value (*encode)(const Scope&, const Config&, Value),
                          Value (*decode)(const Scope&, const Config&, Value)) {
  definition.onnx_config = [interface](PretrainedConfig config, std::string task, OnnxConfigOptions options) {
    return std::make_shared<const AutoencoderOnnxConfig>(std::move(config), std::move(task),
                                                         std::move(options), interface);
  };
  definition.forward = [=](const Inputs& inputs, const Model& model,
                           const Component& component) -> NamedValues {
    const Config c(model.config());
    if (component.part == kVaeDecoder) return {{"sample", decode(model.scope(), c, inputs["latent_sample"])}};
    return {{interface.encoded, encode(model.scope(), c, inputs["sample"])}};
  };
  tasks.register_definition(std::move(definition));
}

}  // namespace onnxport::models
