// Convolutions.
#include "onnxport/op.h"
#include "op/infer.h"

namespace onnxport::op {

namespace {

Value conv(Value x, Value weight, Value bias, const ConvOptions& options, std::size_t spatial) {
  // One spelling in the graph: a number per axis, and two paddings per axis.
  const auto per_axis = [&](std::vector<std::int64_t> given) {
    return given.empty() ? std::vector<std::int64_t>(spatial, 1) : std::move(given);
  };
  std::vector<std::int64_t> padding = options.padding;
  if (padding.empty()) padding.resize(2 * spatial, 0);
  if (padding.size() == spatial)
    padding.insert(padding.end(), options.padding.begin(), options.padding.end());
  return detail::make(x.graph(), Op::conv, {x, weight, bias},
                      {{"stride", per_axis(options.stride)},
                       {"padding", std::move(padding)},
                       {"dilation", per_axis(options.dilation)},
                       {"groups", options.groups}})
      .out();
}

}  // namespace

Value conv1d(Value x, Value weight, Value bias, const ConvOptions& options) {
  return conv(x, weight, bias, options, 1);
}
Value conv2d(Value x, Value weight, Value bias, const ConvOptions& options) {
  return conv(x, weight, bias, options, 2);
}

namespace detail {

Types infer_conv(const Node& node) {
  const TensorType& x = operand(node, 0);
  const TensorType& weight = operand(node, 1);
  require_float(node, x);
  require_same_dtype(node, x, weight);
  const auto& stride = node.attrs.get<std::vector<std::int64_t>>("stride");
  const auto& padding = node.attrs.get<std::vector<std::int64_t>>("padding");
  const auto& dilation = node.attrs.get<std::vector<std::int64_t>>("dilation");
  const std::int64_t groups = node.attrs.integer("groups");
  const std::size_t spatial = stride.size();
  if (x.shape.size() != spatial + 2 || weight.shape.size() != spatial + 2 || groups < 1 ||
      x.shape[1] != groups * weight.shape[1] || !weight.shape[0].exact_div(groups)) {
    reject(node, "input {}, weight {} and {} groups do not fit {} spatial axes", to_string(x.shape),
           to_string(weight.shape), groups, spatial);
  }
  if (padding.size() != 2 * spatial || dilation.size() != spatial) {
    reject(node, "{} strides, {} paddings, {} dilations, expected {}, {} and {}", spatial, padding.size(),
           dilation.size(), spatial, 2 * spatial, spatial);
  }
  if (node.inputs.size() > 2 && node.inputs[2]) {
    const TensorType& bias = operand(node, 2);
    require_same_dtype(node, x, bias);
    if (bias.shape != Shape{weight.shape[0]})
      reject(node, "bias {} does not fit weight {}", to_string(bias.shape), to_string(weight.shape));
  }
  Shape shape = {x.shape[0], weight.shape[0]};
  for (std::size_t i = 0; i < spatial; ++i) {
    const std::optional<std::int64_t> kernel = weight.shape[i + 2].constant();
    if (!kernel || *kernel < 1 || stride[i] < 1 || dilation[i] < 1 || padding[i] < 0 ||
        padding[i + spatial] < 0) {
      reject(node, "kernel {}, stride {}, padding {} and {}, dilation {} on axis {}",
             weight.shape[i + 2].str(), stride[i], padding[i], padding[i + spatial], dilation[i], i + 2);
    }
    const Dim room = x.shape[i + 2] + padding[i] + padding[i + spatial] - dilation[i] * (*kernel - 1) - 1;
    if (room.is_constant() && *room.constant() < 0)
      reject(node, "the kernel of {} is larger than axis {} of {}", *kernel, i + 2, to_string(x.shape));
    shape.push_back(room.floor_div(stride[i]) + 1);
  }
  return {{x.dtype, std::move(shape)}};
}

}  // namespace detail
}  // namespace onnxport::op
