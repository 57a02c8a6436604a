// Mixture of experts: every expert takes the rows that are routed to it, whatever their number.
#include "lower/emitter.h"

namespace onnxport::lower {
namespace {

std::string activate(Emitter& e, const std::string& x, const std::string& activation, DType dtype) {
  if (activation == "relu") return e.emit("Relu", {x});
  if (activation == "silu") return e.emit("Mul", {x, e.emit("Sigmoid", {x})});
  const std::string scaled = e.emit("Div", {x, e.scalar(1.4142135623730951, dtype)});
  const std::string one_plus = e.emit("Add", {e.emit("Erf", {scaled}), e.scalar(1, dtype)});
  return e.emit("Mul", {e.emit("Mul", {x, one_plus}), e.scalar(0.5, dtype)});
}

}  // namespace

Lowered lower_mixture_of_experts(Emitter& e, const Node& node) {
  const std::string x = e.name_of(node.inputs[0]);
  const std::string routing = e.name_of(node.inputs[1]);
  const TensorType& type = node.outputs[0];
  const std::string& activation = node.attrs.get<std::string>("activation");
  const auto linear = [&](const std::string& rows, const Value& weight) {
    return e.emit("Gemm", {rows, e.name_of(weight)}, {{"transB", std::int64_t{1}}});
  };

  std::string total = e.zeros(type);
  for (std::size_t i = 2; i < node.inputs.size(); i += 3) {
    const std::size_t index = (i - 2) / 3;
    const auto expert = static_cast<double>(index);
    const std::string weights =
        e.emit("Gather", {routing, e.scalar(expert, DType::i64)}, {{"axis", std::int64_t{1}}});
    const std::string rows = e.emit("Transpose", {e.emit("NonZero", {weights})});  // [n, 1]
    const std::string taken = e.emit("GatherND", {x, rows});
    const std::string gate = activate(e, linear(taken, node.inputs[i]), activation, type.dtype);
    const std::string up = linear(taken, node.inputs[i + 1]);
    const std::string made = linear(e.emit("Mul", {gate, up}), node.inputs[i + 2]);
    const std::string weight = e.emit_with_axes("Unsqueeze", e.emit("GatherND", {weights, rows}), {1}, 13);
    const std::string part = e.emit("Mul", {made, weight});
    // Read, add, write: the rows of one expert differ, so nothing is added in parallel to the same place.
    const std::string before = e.emit("GatherND", {total, rows});
    total = e.emit("ScatterND", {total, rows, e.emit("Add", {before, part})});
  }
  return total;
}

}  // namespace onnxport::lower
