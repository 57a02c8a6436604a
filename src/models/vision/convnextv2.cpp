// ConvNeXt V2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/convnextv2/modeling_convnextv2.py
#include "models/common/definition.h"
#include "models/vision/common/convnext.h"

namespace onnxport::models {
namespace {

// Global response normalization: scales each channel by its norm over the whole image, relative to the other
// channels.
struct GlobalResponseNorm {
  std::string path;
  Weight weight, bias;

  GlobalResponseNorm(const Scope& s, std::int64_t width)
      : path(s.path()),
        weight(s.weight("weight", {1, 1, 1, width}).reshape({width})),
        bias(s.weight("bias", {1, 1, 1, width}).reshape({width})) {}

  // [B, H, W, C]
  Value operator()(Value x) const {
    const ModulePath at(x, path);
    Graph& graph = x.graph();
    const Value flat = op::flatten(x, 1, 2);
    // In half precision, squares would overflow.
    const Value wide = op::cast(flat, DType::f32);
    const Value strength = op::cast(op::sqrt(op::sum(op::mul(wide, wide), 1, true)), x.dtype());
    const Value others = op::add(op::mean(strength, -1, true), 1e-6);
    const Value relative = op::mul(op::div(strength, others), graph.weight(weight));
    // The input is added to the result, which adds 1 to the factor.
    const Value scaled = op::mul(flat, op::add(relative, 1.0));
    return op::reshape(op::add(scaled, graph.weight(bias)), x.shape());
  }
};

ConvNextVariant variant() {
  const auto norm = [](const Scope& block, std::int64_t width) {
    return GlobalResponseNorm(block / "grn", width);
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
