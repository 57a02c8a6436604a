// Padding and resampling.
#include "lower/emitter.h"

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

}  // namespace onnxport::lower
