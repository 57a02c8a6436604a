// Padding and resampling.
#include <algorithm>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "onnxport/signal_ops.h"
#include "op/infer.h"

namespace onnxport::op {

namespace {

Value pad(Value x, Shape before, Shape after, double value, const char* mode) {
  return detail::make(x.graph(), Op::pad, {x},
                      {{"before", std::move(before)},
                       {"after", std::move(after)},
                       {"value", value},
                       {"mode", std::string(mode)}})
      .out();
}

}  // namespace

Value pad(Value x, Shape before, Shape after, double value) {
  return pad(x, std::move(before), std::move(after), value, "constant");
}

Value pad(Value x, Shape before, Shape after, PadMode mode) {
  return pad(x, std::move(before), std::move(after), 0, mode == PadMode::edge ? "edge" : "reflect");
}

Value interpolate(Value x, Shape size, std::string_view mode, bool align_corners) {
  return detail::make(
             x.graph(), Op::interpolate, {x},
             {{"size", std::move(size)}, {"mode", std::string(mode)}, {"align_corners", align_corners}})
      .out();
}

namespace detail {

Types infer_pad(const Node& node) {
  const TensorType& x = operand(node, 0);
  const Shape& before = node.attrs.get<Shape>("before");
  const Shape& after = node.attrs.get<Shape>("after");
  if (before.size() != x.shape.size() || after.size() != x.shape.size()) {
    reject(node, "{} and {} elements around {}", to_string(before), to_string(after), to_string(x.shape));
  }
  require_extents(node, before);
  require_extents(node, after);
  Shape shape = x.shape;
  for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = before[i] + shape[i] + after[i];
  return {{x.dtype, std::move(shape)}};
}

Types infer_interpolate(const Node& node) {
  const TensorType& x = operand(node, 0);
  require_float(node, x);
  const Shape& size = node.attrs.get<Shape>("size");
  const auto& mode = node.attrs.get<std::string>("mode");
  if (mode != "nearest" && mode != "linear" && mode != "cubic")
    reject(node, "mode '{}', expected nearest, linear or cubic", mode);
  if (mode == "nearest" && node.attrs.flag("align_corners")) reject(node, "nearest has no align_corners");
  if (size.empty() || size.size() + 2 != x.shape.size())
    reject(node, "{} to size {}, expected one extent per axis but the first two", to_string(x.shape),
           to_string(size));
  require_extents(node, size);
  Shape shape = x.shape;
  std::copy(size.begin(), size.end(), shape.begin() + 2);
  return {{x.dtype, std::move(shape)}};
}

}  // namespace detail
}  // namespace onnxport::op
