// One expert of a mixture: its share of the sums.
#include "lower/experts.h"

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "lower/quantized.h"
#include "op/experts.h"

namespace onnxport::lower {
namespace {

// gate g <= 7 and |up| <= 7: g sigmoid(1.702 g) (up + 1)
std::string swiglu_oai(Emitter& e, const std::string& gate, const std::string& up, DType dtype) {
  const std::string high = e.scalar(7, dtype), low = e.scalar(-7, dtype);
  const std::string bounded = e.emit("Min", {gate, high});
  const std::string slope = e.emit("Mul", {bounded, e.scalar(1.702, dtype)});
  const std::string opened = e.emit("Mul", {bounded, e.emit("Sigmoid", {slope})});
  const std::string inside = e.emit("Max", {e.emit("Min", {up, high}), low});
  return e.emit("Mul", {opened, e.emit("Add", {inside, e.scalar(1, dtype)})});
}

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x³)))
std::string gelu_tanh(Emitter& e, const std::string& x, DType dtype) {
  const std::string square = e.emit("Mul", {x, x});
  const std::string curve = e.emit("Mul", {square, e.scalar(0.035677408136300125, dtype)});
  const std::string slope = e.emit("Add", {curve, e.scalar(0.7978845608028654, dtype)});
  const std::string bent = e.emit("Tanh", {e.emit("Mul", {x, slope})});
  const std::string one_plus = e.emit("Add", {bent, e.scalar(1, dtype)});
  return e.emit("Mul", {e.emit("Mul", {x, one_plus}), e.scalar(0.5, dtype)});
}

std::string activate(Emitter& e, const std::string& x, const std::string& activation, DType dtype) {
  if (activation == "relu") return e.emit("Relu", {x});
  if (activation == "relu2") {
    const std::string positive = e.emit("Relu", {x});
    return e.emit("Mul", {positive, positive});
  }
  if (activation == "silu") return e.emit("Mul", {x, e.emit("Sigmoid", {x})});
  if (activation == "gelu_pytorch_tanh") return gelu_tanh(e, x, dtype);
  const std::string scaled = e.emit("Div", {x, e.scalar(1.4142135623730951, dtype)});
  const std::string one_plus = e.emit("Add", {e.emit("Erf", {scaled}), e.scalar(1, dtype)});
  return e.emit("Mul", {e.emit("Mul", {x, one_plus}), e.scalar(0.5, dtype)});
}

// activation(gate) * up
std::string gated(Emitter& e, const std::string& gate, const std::string& up, const Attrs& attrs,
                  DType dtype) {
  const std::string& activation = attrs.get<std::string>("activation");
  if (activation == "swiglu_oai") return swiglu_oai(e, gate, up, dtype);
  if (const auto limit = op::detail::clamped_silu_limit(attrs)) {
    const std::string high = e.scalar(*limit, dtype), low = e.scalar(-*limit, dtype);
    const std::string opened = activate(e, e.emit("Min", {gate, high}), "silu", dtype);
    return e.emit("Mul", {opened, e.emit("Max", {e.emit("Min", {up, high}), low})});
  }
  return e.emit("Mul", {activate(e, gate, activation, dtype), up});
}

Names halves(Emitter& e, const std::string& x, std::int64_t size) {
  const std::vector<std::int64_t> sizes = {size, size};
  const OnnxAttr axis = std::int64_t{1};
  if (e.opset() < 13) return e.emit_all("Split", 2, {x}, {{"axis", axis}, {"split", sizes}});
  return e.emit_all("Split", 2, {x, e.ints(sizes)}, {{"axis", axis}});
}

// `times` multiplies the weights of a projection by its argument; features are on axis 1.
std::string feed_forward(Emitter& e, const Mixture& m, const std::string& x,
                         const std::function<std::string(std::size_t, const std::string&)>& times) {
  std::string gate = times(0, x), up;
  if (!m.has_gate)
    return times(1, activate(e, gate, m.node.attrs.get<std::string>("activation"), m.type.dtype));
  if (m.has_up) {
    up = times(1, x);
  } else {
    const Names parts = halves(e, gate, m.inner);
    gate = parts[0];
    up = parts[1];
  }
  return times(m.matrices.size() - 1, gated(e, gate, up, m.node.attrs, m.type.dtype));
}

// The tokens are columns, [1, D, n]: the products then read a weight as it lies, row by row. ONNX Runtime
// would copy the transpose of a weight on the right for every product with more than one token.
std::string float_feed_forward(Emitter& e, const Mixture& m, const std::string& columns,
                               const Names& weights) {
  const auto times = [&](std::size_t matrix, const std::string& x) {
    std::string made = e.emit("MatMul", {weights[m.matrices[matrix].first], x});
    const std::optional<std::size_t> bias = m.matrices[matrix].bias;
    if (!bias) return made;
    return e.emit("Add", {made, e.emit_with_axes("Unsqueeze", weights[*bias], {1}, 13)});
  };
  return feed_forward(e, m, columns, times);
}

// The same with codes: MatMulNBits takes tokens as rows, [n, D].
std::string coded_feed_forward(Emitter& e, const Mixture& m, const std::string& rows, const Names& weights) {
  const auto times = [&](std::size_t index, const std::string& x) {
    const ExpertMatrix& matrix = m.matrices[index];
    const std::string& first = weights[matrix.first];
    const std::string bias = matrix.bias ? weights[*matrix.bias] : std::string();
    if (!matrix.codes) return e.emit("Gemm", {x, first, bias}, {{"transB", std::int64_t{1}}});
    const BlockParameters& p = matrix.blocks().parameters;
    const BlockOperands stored{first, weights[matrix.first + 1],
                               matrix.count > 2 ? weights[matrix.first + 2] : std::string()};
    const std::string made = matmul_n_bits(e, x, stored, matrix.rows, matrix.columns, p.bits, p.block_size);
    return bias.empty() ? made : e.emit("Add", {made, bias});
  };
  return feed_forward(e, m, rows, times);
}

}  // namespace

// The rows that are routed to this expert differ, so nothing is added in parallel to the same place.
std::string add_expert(Emitter& e, const Mixture& m, const std::string& total, const std::string& tokens,
                       const std::string& routing, const Names& weights) {
  const std::string routed = e.emit("NonZero", {routing});                // [1, n]
  const std::string rows = e.emit_with_axes("Squeeze", routed, {0}, 13);  // [n]
  const auto taken = [&](const std::string& from) { return e.emit("Gather", {from, rows}); };
  const auto turned = [&](const std::string& x, std::vector<std::int64_t> axes) {
    return e.emit("Transpose", {x}, {{"perm", std::move(axes)}});
  };
  // The axis of 1 keeps ONNX Runtime from making one step of Transpose and MatMul, which takes 1.5 times as
  // long for a single token. Unsqueeze adds it: with a Transpose of three axes right in front of MatMul,
  // version 1.31 crashes when it loads a file in half precision.
  std::string part;  // [n, 1, D]
  if (m.is_coded()) {
    const std::string made = coded_feed_forward(e, m, taken(tokens), weights);
    const std::string share = e.emit_with_axes("Unsqueeze", taken(routing), {1}, 13);
    part = e.emit_with_axes("Unsqueeze", e.emit("Mul", {made, share}), {1}, 13);
  } else {
    const std::string turned_rows = turned(taken(tokens), {1, 0});
    const std::string columns = e.emit_with_axes("Unsqueeze", turned_rows, {0}, 13);
    const std::string made = float_feed_forward(e, m, columns, weights);
    part = turned(e.emit("Mul", {made, taken(routing)}), {2, 0, 1});
  }
  const std::string sum = e.emit("Add", {taken(total), part});
  return e.emit("ScatterND", {total, turned(routed, {1, 0}), sum});
}

}  // namespace onnxport::lower
