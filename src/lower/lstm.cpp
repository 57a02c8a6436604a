// Long short-term memory: ONNX's LSTM.
#include <array>

#include "lower/recurrence.h"
#include "onnxport/ops.h"

namespace onnxport::lower {
namespace {

// The gates input, forget, cell, output in ONNX's order: input, output, forget, cell.
constexpr std::array<std::size_t, 4> kOrder = {0, 3, 1, 2};

// [4 * H, ...] -> [1, 4 * H, ...], or the same of several operands one after the other.
std::string gates(Emitter& e, const std::vector<Value>& operands) {
  const TensorType& type = operands[0].type();
  const std::int64_t width = *type.shape[0].constant() / 4;
  Shape shape = type.shape;
  shape[0] = 4 * width * static_cast<std::int64_t>(operands.size());
  shape.insert(shape.begin(), 1);
  std::vector<Weight> stored;
  Names computed;
  for (const Value& operand : operands) {
    if (operand.node()->op == Op::weight) {
      const Weight& all = operand.node()->weight;
      for (const std::size_t gate : kOrder) {
        const auto begin = static_cast<std::int64_t>(gate) * width;
        stored.push_back(all.slice(0, begin, begin + width));
      }
      continue;
    }
    for (const std::size_t gate : kOrder) {
      const auto begin = static_cast<std::int64_t>(gate) * width;
      const std::string from = e.ints({begin}), to = e.ints({begin + width}), axis = e.ints({0});
      computed.push_back(e.emit("Slice", {e.name_of(operand), from, to, axis}));
    }
  }
  if (computed.empty()) return e.weight(Weight::concat(stored, 0).reshape(*static_shape(shape)));
  for (const Weight& one : stored) computed.push_back(e.weight(one));
  const std::string joined = e.emit("Concat", computed, {{"axis", std::int64_t{0}}});
  return e.emit_with_axes("Unsqueeze", joined, {0}, 13);
}

}  // namespace

// ONNX Runtime has no kernel for half precision, so that becomes float32.
Lowered lower_lstm(Emitter& e, const Node& node) {
  const std::vector<Value>& in = node.inputs;
  const DType dtype = node.outputs[0].dtype;
  const bool half = size_of(dtype) < 4;
  const auto wide = [&](const std::string& name) { return half ? e.cast(name, DType::f32) : name; };
  const auto narrow = [&](const std::string& name) { return half ? e.cast(name, dtype) : name; };
  const auto by_token = [&](const std::string& name) {
    return e.emit("Transpose", {name}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
  };
  const auto state = [&](const Value& past) {
    return past ? wide(e.emit_with_axes("Unsqueeze", e.name_of(past), {0}, 13)) : std::string();
  };
  const std::int64_t width = *in[2].dim(1).constant();
  Names operands = {by_token(wide(e.name_of(in[0]))), wide(gates(e, {in[1]})), wide(gates(e, {in[2]}))};
  if (in[3] || in[5]) operands.push_back(in[3] ? wide(gates(e, {in[3], in[4]})) : std::string());
  if (in[5]) {
    operands.emplace_back();  // no lengths: every row has all tokens
    operands.push_back(state(in[5]));
    operands.push_back(state(in[6]));
  }
  const Names made = e.emit_wanted("LSTM", {e.is_used(node, 0), e.is_used(node, 1), e.is_used(node, 2)},
                                   std::move(operands), {{"hidden_size", width}});
  Names results(3);
  if (!made[0].empty()) results[0] = narrow(by_token(e.emit_with_axes("Squeeze", made[0], {1}, 13)));
  for (const std::size_t i : {1, 2}) {
    if (!made[i].empty()) results[i] = narrow(e.emit_with_axes("Squeeze", made[i], {0}, 13));
  }
  return results;
}

}  // namespace onnxport::lower
