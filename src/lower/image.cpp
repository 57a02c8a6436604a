// Padding and resampling.
#include "lower/emitter.h"
#include "lower/forms.h"
#include "onnxport/index_ops.h"
#include "onnxport/op.h"

namespace onnxport::lower {

Lowered lower_pad(Emitter& e, const Node& node) {
  Shape around = node.attrs.get<Shape>("before");
  const Shape& after = node.attrs.get<Shape>("after");
  around.insert(around.end(), after.begin(), after.end());
  Names inputs = {e.name_of(node.inputs[0]), e.dims(around)};
  if (const double value = node.attrs.real("value"); value != 0)
    inputs.push_back(e.scalar(value, node.outputs[0].dtype));
  return e.emit("Pad", std::move(inputs), {{"mode", node.attrs.get<std::string>("mode")}});
}

Lowered lower_interpolate(Emitter& e, const Node& node) {
  const auto& mode = node.attrs.get<std::string>("mode");
  const bool nearest = mode == "nearest";
  OnnxAttrs attrs = {
      {"mode", mode},
      {"coordinate_transformation_mode", std::string(nearest                            ? "asymmetric"
                                                     : node.attrs.flag("align_corners") ? "align_corners"
                                                                                        : "half_pixel")}};
  if (nearest) attrs.emplace_back("nearest_mode", std::string("floor"));
  if (mode == "cubic") attrs.emplace_back("cubic_coeff_a", -0.75F);
  // Before opset 13, no operand may be absent. Before opset 18, it covers every axis.
  std::string none;
  if (e.opset() < 13) none = e.weight(Weight::from_doubles(DType::f32, {0}, {}));
  std::string size;
  if (e.opset() < 18) {
    size = e.dims(node.outputs[0].shape);
  } else {
    size = e.dims(node.attrs.get<Shape>("size"));
    std::vector<std::int64_t> axes;
    for (std::size_t i = 2; i < node.outputs[0].shape.size(); ++i)
      axes.push_back(static_cast<std::int64_t>(i));
    attrs.emplace_back("axes", std::move(axes));
  }
  return e.emit("Resize", {e.name_of(node.inputs[0]), none, none, std::move(size)}, std::move(attrs));
}

namespace {

bool is_float32(const Node& node) {
  return node.inputs[0].dtype() == DType::f32 && node.inputs[1].dtype() == DType::f32;
}

Lowered lower_grid_sample(Emitter& e, const Node& node) {
  auto mode = node.attrs.get<std::string>("mode");
  if (mode == "bilinear" && e.opset() >= 20) mode = "linear";
  return e.emit("GridSample", e.names_of(node.inputs),
                {{"mode", std::move(mode)},
                 {"padding_mode", node.attrs.get<std::string>("padding_mode")},
                 {"align_corners", static_cast<std::int64_t>(node.attrs.flag("align_corners"))}});
}

std::vector<Value> expand_in_float32(const Node& node) {
  const Value x = op::cast(node.inputs[0], DType::f32);
  const Value grid = op::cast(node.inputs[1], DType::f32);
  const Value sampled =
      op::grid_sample(x, grid, node.attrs.get<std::string>("mode"),
                      node.attrs.get<std::string>("padding_mode"), node.attrs.flag("align_corners"));
  return {op::cast(sampled, node.outputs[0].dtype)};
}

}  // namespace

// ONNX Runtime's kernels take float32 only, for images and places. They give PyTorch's values for places
// nearer than 2^63 elements.
std::span<const Form> forms_grid_sample() {
  static constexpr Form forms[] = {
      {.name = "GridSample",
       .fits = [](const Node& node, const Target& target) { return target.opset >= 16 && is_float32(node); },
       .lower = lower_grid_sample},
      {.name = "GridSample in float32",
       .fits =
           [](const Node& node, const Target& target) {
             return target.opset >= 16 && !is_float32(node) && node.outputs[0].dtype != DType::f64;
           },
       .expand = expand_in_float32}};
  return forms;
}

}  // namespace onnxport::lower
