// ConvNeXt. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/convnext/modeling_convnext.py
#include "models/vision/common/convnext.h"

namespace onnxport::models {
namespace {

ConvNextVariant variant(const PretrainedConfig& config) {
  return {.layer_scale = config.real("layer_scale_init_value") > 0};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return forward_convnext(inputs, model, component, variant(model.config()));
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  return convnext_features(s, config, pixel_values, variant(config));
}

}  // namespace

void register_convnext(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "convnext",
                                          .tasks = {"feature-extraction", "image-classification"},
                                          .forward = forward,
                                          .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
