// Convolutions.
#include "lower/emitter.h"

namespace onnxport::lower {

Lowered lower_conv(Emitter& e, const Node& node) {
  const Shape& weight = node.inputs[1].shape();
  std::vector<std::int64_t> kernel;
  for (std::size_t i = 2; i < weight.size(); ++i) kernel.push_back(*weight[i].constant());
  const auto numbers = [&](const char* name) { return node.attrs.get<std::vector<std::int64_t>>(name); };
  Names inputs = e.names_of(node.inputs);
  if (inputs.back().empty()) inputs.pop_back();
  // Conv takes bfloat16 from opset 22 on.
  const DType dtype = node.outputs[0].dtype;
  const bool widen = dtype == DType::bf16 && e.opset() < 22;
  if (widen) {
    for (std::string& input : inputs) input = e.emit("Cast", {input}, {{"to", onnx_type(DType::f32)}});
  }
  const std::string result = e.emit("Conv", std::move(inputs),
                                    {{"dilations", numbers("dilation")},
                                     {"group", node.attrs.integer("groups")},
                                     {"kernel_shape", std::move(kernel)},
                                     {"pads", numbers("padding")},
                                     {"strides", numbers("stride")}});
  return widen ? e.emit("Cast", {result}, {{"to", onnx_type(dtype)}}) : result;
}

}  // namespace onnxport::lower
