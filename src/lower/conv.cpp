// Convolutions and pooling.
#include "lower/conv.h"

#include <algorithm>
#include <limits>

#include "lower/quantized.h"
#include "onnxport/ops.h"

namespace onnxport::lower {
namespace {

const std::vector<std::int64_t>& numbers(const Node& node, const char* name) {
  return node.attrs.get<std::vector<std::int64_t>>(name);
}

OnnxAttrs attrs_of(const Node& node) {
  const Shape& weight = node.inputs[1].shape();
  std::vector<std::int64_t> kernel;
  for (std::size_t i = 2; i < weight.size(); ++i) kernel.push_back(*weight[i].constant());
  return {{"dilations", numbers(node, "dilation")},
          {"group", node.attrs.integer("groups")},
          {"kernel_shape", std::move(kernel)},
          {"pads", numbers(node, "padding")},
          {"strides", numbers(node, "stride")}};
}

std::string convolution(Emitter& e, const Node& node, const char* op_type) {
  return emit_widened(e, op_type, e.names_of(node.inputs), node.outputs[0].dtype, attrs_of(node));
}

}  // namespace

std::string emit_widened(Emitter& e, const char* op_type, Names inputs, DType dtype, OnnxAttrs attrs) {
  while (inputs.back().empty()) inputs.pop_back();
  const bool widen = dtype == DType::bf16 && e.opset() < 22;
  if (widen) {
    for (std::string& input : inputs) input = e.cast(input, DType::f32);
  }
  const std::string result = e.emit(op_type, std::move(inputs), std::move(attrs));
  return widen ? e.cast(result, dtype) : result;
}

Lowered lower_conv(Emitter& e, const Node& node) {
  if (auto product = integer_conv(e, node, attrs_of(node))) return *std::move(product);
  return convolution(e, node, "Conv");
}
Lowered lower_conv_transpose(Emitter& e, const Node& node) { return convolution(e, node, "ConvTranspose"); }

// ONNX Runtime 1.31 makes a pad of zeros part of the MaxPool after it, whose own padding is minus infinity.
// It does so only if the MaxPool has the attribute `pads`.
Lowered lower_max_pool(Emitter& e, const Node& node) {
  std::vector<std::int64_t> around = numbers(node, "padding");
  Names inputs = e.names_of(node.inputs);
  const DType dtype = node.outputs[0].dtype;
  OnnxAttrs attrs = {{"dilations", numbers(node, "dilation")}, {"kernel_shape", numbers(node, "kernel")}};
  if (node.inputs[0].node()->op != Op::pad) {
    attrs.emplace_back("pads", std::move(around));
  } else {
    attrs.emplace_back("auto_pad", std::string("VALID"));
    if (std::any_of(around.begin(), around.end(), [](std::int64_t n) { return n != 0; })) {
      for (const std::size_t side : {std::size_t{0}, around.size() / 2 + 2})
        around.insert(around.begin() + static_cast<std::ptrdiff_t>(side), 2, 0);
      inputs.push_back(e.ints(around));
      inputs.push_back(e.scalar(-std::numeric_limits<double>::infinity(), dtype));
      inputs = {e.emit("Pad", std::move(inputs), {{"mode", std::string("constant")}})};
    }
  }
  attrs.emplace_back("strides", numbers(node, "stride"));
  return emit_widened(e, "MaxPool", std::move(inputs), dtype, std::move(attrs));
}

}  // namespace onnxport::lower
