/// Shared parts of SigLIP and SigLIP 2.
#pragma once

#include "models/multimodal/common/towers/clip.h"
#include "models/multimodal/common/towers/split_towers.h"

namespace onnxport::models {

/// The whole model, or one of its towers. The types of the towers begin with the type of the whole:
/// siglip_text_model, siglip_vision_model.
class SiglipOnnxConfig : public SplitTowersOnnxConfig {
 public:
  using SplitTowersOnnxConfig::SplitTowersOnnxConfig;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  NormalizedConfig normalized_config() const override;

 protected:
  /// The inputs of the image tower in the whole model.
  virtual AxesByName image_inputs() const { return {{"pixel_values", {{0, "image_batch_size"}}}}; }
};

/// The configurations of the towers, with the class defaults of their types.
PretrainedConfig siglip_text_config(const PretrainedConfig& whole);
PretrainedConfig siglip_vision_config(const PretrainedConfig& whole);

/// The comparison, or the states of the tower that the component asks for.
NamedValues forward_siglip(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                           const Component& component);

/// The text tower: the vector of the last token, even of padding, is projected.
EncoderStates encode_siglip_text(const Inputs& inputs, const Model& model, const Component& component);

/// One learned query attends to all patches: hidden [B, patches, H] -> [B, H]. Keys: probe,
/// attention.{in_proj_weight, in_proj_bias, out_proj}, layernorm, mlp.
Value pool_siglip_patches(const Scope& s, const TowerConfig& c, Value hidden,
                          const op::AttentionMask& mask = {});

}  // namespace onnxport::models
