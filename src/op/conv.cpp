// Convolutions.
#include <algorithm>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "onnxport/signal_ops.h"
#include "op/infer.h"

namespace onnxport::op {

namespace {

// The graph always has one number per axis, and two paddings per axis.
ConvOptions spelled_out(ConvOptions options, std::size_t spatial) {
  if (options.stride.empty()) options.stride.assign(spatial, 1);
  if (options.dilation.empty()) options.dilation.assign(spatial, 1);
  if (options.padding.empty()) options.padding.assign(2 * spatial, 0);
  if (options.padding.size() == spatial) {
    const std::vector<std::int64_t> both = options.padding;
    options.padding.insert(options.padding.end(), both.begin(), both.end());
  }
  return options;
}

Value conv(Op op, Value x, Value weight, Value bias, const ConvOptions& given, std::size_t spatial) {
  ConvOptions options = spelled_out(given, spatial);
  return detail::make(x.graph(), op, {x, weight, bias},
                      {{"stride", std::move(options.stride)},
                       {"padding", std::move(options.padding)},
                       {"dilation", std::move(options.dilation)},
                       {"groups", options.groups}})
      .out();
}

}  // namespace

Value conv1d(Value x, Value weight, Value bias, const ConvOptions& options) {
  return conv(Op::conv, x, weight, bias, options, 1);
}
Value conv2d(Value x, Value weight, Value bias, const ConvOptions& options) {
  return conv(Op::conv, x, weight, bias, options, 2);
}
Value conv_transpose1d(Value x, Value weight, Value bias, const ConvOptions& options) {
  return conv(Op::conv_transpose, x, weight, bias, options, 1);
}
Value conv_transpose2d(Value x, Value weight, Value bias, const ConvOptions& options) {
  return conv(Op::conv_transpose, x, weight, bias, options, 2);
}

Value max_pool2d(Value x, const std::vector<std::int64_t>& kernel, const ConvOptions& given) {
  ConvOptions options = given;
  if (options.stride.empty()) options.stride = kernel;
  options = spelled_out(std::move(options), 2);
  return detail::make(x.graph(), Op::max_pool, {x},
                      {{"kernel", kernel},
                       {"stride", std::move(options.stride)},
                       {"padding", std::move(options.padding)},
                       {"dilation", std::move(options.dilation)}})
      .out();
}

namespace detail {
namespace {

using Numbers = std::vector<std::int64_t>;

// The attributes of a window that slides over the spatial axes, one number per axis (two paddings).
struct Window {
  Numbers kernel, stride, padding, dilation;

  Window(const Node& node, Numbers kernel_in)
      : kernel(std::move(kernel_in)),
        stride(node.attrs.get<Numbers>("stride")),
        padding(node.attrs.get<Numbers>("padding")),
        dilation(node.attrs.get<Numbers>("dilation")) {
    const std::size_t spatial = kernel.size();
    if (stride.size() != spatial || padding.size() != 2 * spatial || dilation.size() != spatial) {
      reject(node, "{} strides, {} paddings, {} dilations, expected {}, {} and {}", stride.size(),
             padding.size(), dilation.size(), spatial, 2 * spatial, spatial);
    }
    for (std::size_t i = 0; i < spatial; ++i) {
      if (kernel[i] < 1 || stride[i] < 1 || dilation[i] < 1 || padding[i] < 0 || padding[i + spatial] < 0) {
        reject(node, "kernel {}, stride {}, padding {} and {}, dilation {} on axis {}", kernel[i], stride[i],
               padding[i], padding[i + spatial], dilation[i], i + 2);
      }
    }
  }

  // The number of elements that it covers on a spatial axis.
  std::int64_t reach(std::size_t i) const { return dilation[i] * (kernel[i] - 1) + 1; }
  std::int64_t padded(std::size_t i) const { return padding[i] + padding[i + kernel.size()]; }

  // The number of positions on a spatial axis of this extent.
  Dim places(const Node& node, const Shape& shape, std::size_t i) const {
    const Dim room = shape[i + 2] + padded(i) - reach(i);
    if (room.is_constant() && *room.constant() < 0)
      reject(node, "the kernel of {} is larger than axis {} of {}", kernel[i], i + 2, to_string(shape));
    return room.floor_div(stride[i]) + 1;
  }
};

// The spatial extents of a weight [O, I, ...].
Numbers kernel_of(const Node& node, const Shape& weight) {
  Numbers kernel;
  for (std::size_t i = 2; i < weight.size(); ++i) {
    if (!weight[i].is_constant()) reject(node, "the weight {} has no fixed kernel", to_string(weight));
    kernel.push_back(*weight[i].constant());
  }
  return kernel;
}

void check_bias(const Node& node, const Dim& channels) {
  if (node.inputs.size() < 3 || !node.inputs[2]) return;
  const TensorType& bias = operand(node, 2);
  require_same_dtype(node, operand(node, 0), bias);
  if (bias.shape != Shape{channels})
    reject(node, "bias {} does not fit weight {}", to_string(bias.shape), to_string(operand(node, 1).shape));
}

void check_operands(const Node& node, bool transposed) {
  const TensorType& x = operand(node, 0);
  const TensorType& weight = operand(node, 1);
  require_float(node, x);
  require_same_dtype(node, x, weight);
  const std::int64_t groups = node.attrs.integer("groups");
  const std::size_t spatial = node.attrs.get<Numbers>("stride").size();
  const bool ranks = x.shape.size() == spatial + 2 && weight.shape.size() == spatial + 2;
  if (!ranks || groups < 1 || !weight.shape[0].exact_div(groups) ||
      x.shape[1] != (transposed ? weight.shape[0] : groups * weight.shape[1])) {
    reject(node, "input {}, weight {} and {} groups do not fit {} spatial axes", to_string(x.shape),
           to_string(weight.shape), groups, spatial);
  }
}

}  // namespace

Types infer_conv(const Node& node) {
  check_operands(node, false);
  const Shape& x = operand(node, 0).shape;
  const Shape& weight = operand(node, 1).shape;
  const Window window(node, kernel_of(node, weight));
  check_bias(node, weight[0]);
  Shape shape = x;
  shape[1] = weight[0];
  for (std::size_t i = 0; i < window.kernel.size(); ++i) shape[i + 2] = window.places(node, x, i);
  return {{operand(node, 0).dtype, std::move(shape)}};
}

Types infer_conv_transpose(const Node& node) {
  check_operands(node, true);
  const Shape& x = operand(node, 0).shape;
  const Shape& weight = operand(node, 1).shape;
  const Window window(node, kernel_of(node, weight));
  const Dim channels = node.attrs.integer("groups") * weight[1];
  check_bias(node, channels);
  Shape shape = x;
  shape[1] = channels;
  for (std::size_t i = 0; i < window.kernel.size(); ++i)
    shape[i + 2] = (x[i + 2] - 1) * window.stride[i] + window.reach(i) - window.padded(i);
  require_extents(node, shape);
  return {{operand(node, 0).dtype, std::move(shape)}};
}

Types infer_max_pool(const Node& node) {
  const TensorType& x = operand(node, 0);
  require_float(node, x);
  const Window window(node, node.attrs.get<Numbers>("kernel"));
  const std::size_t spatial = window.kernel.size();
  if (x.shape.size() != spatial + 2) reject(node, "got {}, expected {} axes", to_string(x), spatial + 2);
  Shape shape = x.shape;
  for (std::size_t i = 0; i < spatial; ++i) {
    // A window that contains only padding would have no largest element.
    if (std::max(window.padding[i], window.padding[i + spatial]) >= window.reach(i))
      reject(node, "padding {} and {} with a kernel of {} on axis {}", window.padding[i],
             window.padding[i + spatial], window.kernel[i], i + 2);
    shape[i + 2] = window.places(node, x.shape, i);
  }
  return {{x.dtype, std::move(shape)}};
}

}  // namespace detail
}  // namespace onnxport::op
