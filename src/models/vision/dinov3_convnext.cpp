// DINOv3, ConvNeXt. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/dinov3_convnext/modeling_dinov3_convnext.py
#include "models/vision/common/backbone.h"
#include "models/vision/common/convnext.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/resnet.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

ConvNextVariant variant(const ConvNextConfig& c) {
  return {.layer_scale = true,
          .keys = {.patches = "stages.0.downsample_layers.0",
                   .patches_norm = "stages.0.downsample_layers.1",
                   .stages = "stages",
                   .downsampling = "downsample_layers",
                   .depthwise = "depthwise_conv",
                   .norm = "layer_norm",
                   .up = "pointwise_conv1",
                   .down = "pointwise_conv2",
                   .layer_scale = "gamma"},
          .eps = c.layer_norm_eps};
}

// The mean of all pixels comes first, as a class token would.
NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const PretrainedConfig& config = model.config();
  const ConvNextConfig c(config);
  // The initial value of scales in training; stages of the type as a backbone of another model.
  config.harmless({"layer_scale_init_value", "out_features", "out_indices"});
  const Scope root = model.scope();
  const Value image = convnext_states(root, c, inputs["pixel_values"], variant(c)).back();
  const Value mean = op::unsqueeze(nn::global_average_pool(image), 1);
  const nn::LayerNorm norm(root / "layer_norm", c.hidden_sizes.back(), c.layer_norm_eps);
  return {{"last_hidden_state", norm(op::concat({mean, nn::image_to_tokens(image)}, 1))}};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const ConvNextConfig c(config);
  config.harmless({"layer_scale_init_value"});
  s.ignore("layer_norm");  // of the model alone
  const std::vector<std::int64_t> stages = backbone_stages(config, std::ssize(c.hidden_sizes));
  std::vector<Value> states = convnext_states(s, c, pixel_values, variant(c));
  states[0] = pixel_values;  // the stem is a part of the first stage
  return stage_features(states, stages);
}

}  // namespace

void register_dinov3_convnext(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "dinov3_convnext",
                                          .tasks = {"feature-extraction"},
                                          .forward = forward,
                                          .key_names = {.newer = {{"stages.", "model.stages."}}},
                                          .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
