// ConvNeXt V2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/convnextv2/modeling_convnextv2.py
#include "models/common/definition.h"
#include "models/vision/common/convnext.h"
#include "onnxport/nn/response_norm.h"

namespace onnxport::models {
namespace {

ConvNextVariant variant() {
  const auto norm = [](const Scope& block, std::int64_t width) -> std::function<Value(Value)> {
    const Scope s = block / "grn";
    const Weight weight = s.weight("weight", {1, 1, 1, width}).reshape({width});
    const Weight bias = s.weight("bias", {1, 1, 1, width}).reshape({width});
    return [path = s.path(), weight, bias](Value x) {
      const ModulePath at(x, path);
      return nn::global_response_norm(x, weight, bias);
    };
  };
  return {.base_model = "convnextv2", .behind_activation = norm};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return forward_convnext(inputs, model, component, variant());
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  return convnext_features(s, config, pixel_values, variant());
}

}  // namespace

void register_convnextv2(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "convnextv2",
                                          .tasks = {"feature-extraction", "image-classification"},
                                          .forward = forward,
                                          .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
