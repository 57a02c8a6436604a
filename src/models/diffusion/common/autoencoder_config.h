/// Interfaces of autoencoders: two graphs, images to latents and latents to images.
#pragma once

#include <cstdint>
#include <string>

#include "models/diffusion/common/component_config.h"

namespace onnxport::models {

/// The parts of an autoencoder.
inline constexpr const char *kVaeEncoder = "vae_encoder", *kVaeDecoder = "vae_decoder";

struct AutoencoderSizes {
  std::int64_t image_channels = 0, latent_channels = 0;
  std::int64_t levels = 1;  ///< each but one halves the extents of an image
  std::string encoded;      ///< output of the encoder
};

/// vae_encoder: sample -> what the class calls its latents; vae_decoder: latent_sample -> sample.
class AutoencoderOnnxConfig : public ComponentOnnxConfig {
 public:
  using ComponentOnnxConfig::ComponentOnnxConfig;
  std::string part() const override { return options().part; }
  std::vector<ComponentInput> tensors() const override;
  AxesByName outputs() const override;
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  void describe(ExportPlan& plan, const PlanRequest& request) const override;

 protected:
  virtual AutoencoderSizes sizes() const = 0;

 private:
  std::int64_t factor() const;
};

}  // namespace onnxport::models
