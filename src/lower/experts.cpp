// Mixture of experts: a Scan over the experts. It hands each step the weights of one expert as a view, so
// that ONNX Runtime neither copies nor reads those of experts without tokens.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ir/weight_coded.h"
#include "lower/emitter.h"
#include "lower/quantized.h"
#include "onnx/element_type.h"
#include "onnxport/error.h"
#include "onnxport/ops.h"
#include "op/experts.h"

namespace onnxport::lower {
namespace {

// Operands of the Scan before the weights: the sums, whether an expert has tokens, and the routing.
constexpr std::size_t kFixedOperands = 3;

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

// The weights of one projection [E, N, K], of which a step gets those of one expert: a matrix, or codes,
// scales and perhaps zero points.
struct ExpertMatrix {
  std::shared_ptr<const Codes> codes;  // null: floats
  std::int64_t rows, columns;
  std::size_t first, count;              // of the tensors of a step
  std::optional<std::size_t> bias = {};  // the place of its bias among them

  const BlockCodes& blocks() const { return *codes_of_kind<BlockCodes>(codes); }
};

// Adds the stacked tensors to the operands of the Scan, and the types of one step.
ExpertMatrix scan_matrix(Emitter& e, const Value& stacked, Names& scanned, std::vector<TensorType>& types) {
  const std::int64_t experts = *stacked.dim(0).constant(), rows = *stacked.dim(1).constant(),
                     columns = *stacked.dim(2).constant();
  auto codes = stacked.node()->op == Op::weight ? codes_of(stacked.node()->weight) : nullptr;
  ExpertMatrix matrix{std::move(codes), rows, columns, scanned.size() - kFixedOperands, 1};
  if (!matrix.codes) {
    scanned.push_back(e.name_of(stacked));
    types.push_back({stacked.dtype(), {rows, columns}});
    return matrix;
  }
  const QuantizedBlocks& parts = matrix.blocks().parts;
  const auto add = [&](const Weight& part) {  // [E * N, ...]
    std::vector<std::int64_t> shape = part.shape();
    shape[0] = rows;
    types.push_back({part.dtype(), Shape(shape.begin(), shape.end())});
    shape.insert(shape.begin(), experts);
    scanned.push_back(e.weight(part.reshape(shape)));
  };
  add(parts.codes);
  add(parts.scales.cast(stacked.dtype()));
  if (parts.zero_points) add(parts.zero_points);
  matrix.count = scanned.size() - kFixedOperands - matrix.first;
  return matrix;
}

// Adds the biases [E, N] of a matrix.
void scan_bias(Emitter& e, const Value& biases, ExpertMatrix& matrix, Names& scanned,
               std::vector<TensorType>& types) {
  if (!biases) return;
  matrix.bias = scanned.size() - kFixedOperands;
  scanned.push_back(e.name_of(biases));
  types.push_back({biases.dtype(), {matrix.rows}});
}

// Shared by all steps.
struct Mixture {
  explicit Mixture(const Node& n)
      : node(n),
        type(n.outputs[0]),
        inner(*n.inputs[4].shape()[2].constant()),
        has_up(n.inputs[3]),
        has_gate(has_up || n.inputs[2].shape()[1] != n.inputs[4].shape()[2]) {}
  const Node& node;
  const TensorType& type;
  std::int64_t inner;
  bool has_up;
  bool has_gate;       // else `gate` is the only projection in front of the activation
  std::string tokens;  // [N, D]
  std::vector<ExpertMatrix> matrices;

  bool is_coded() const {
    return std::any_of(matrices.begin(), matrices.end(), [](const ExpertMatrix& one) { return one.codes; });
  }
};

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
    const std::string made = e.emit("MatMul", {weights[m.matrices[matrix].first], x});
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

// The rows of `total` that are routed to this expert, plus its results. They differ, so nothing is added in
// parallel to the same place.
std::string add_expert(Emitter& e, const Mixture& m, const std::string& total, const std::string& routing,
                       const Names& weights) {
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
    const std::string made = coded_feed_forward(e, m, taken(m.tokens), weights);
    const std::string share = e.emit_with_axes("Unsqueeze", taken(routing), {1}, 13);
    part = e.emit_with_axes("Unsqueeze", e.emit("Mul", {made, share}), {1}, 13);
  } else {
    const std::string turned_rows = turned(taken(m.tokens), {1, 0});
    const std::string columns = e.emit_with_axes("Unsqueeze", turned_rows, {0}, 13);
    const std::string made = float_feed_forward(e, m, columns, weights);
    part = turned(e.emit("Mul", {made, taken(routing)}), {2, 0, 1});
  }
  const std::string sum = e.emit("Add", {taken(total), part});
  return e.emit("ScatterND", {total, turned(routed, {1, 0}), sum});
}

// Booleans [E]: has the expert a token?
std::string busy(Emitter& e, const std::string& routing) {
  const auto cast = [&](const std::string& x, DType to) {
    return e.emit("Cast", {x}, {{"to", element_type(to)}});
  };
  const std::string chosen = cast(cast(routing, DType::boolean), DType::i32);
  const std::string most = e.emit_with_axes("ReduceMax", chosen, {1}, 18, {{"keepdims", std::int64_t{0}}});
  return cast(most, DType::boolean);
}

}  // namespace

Lowered lower_mixture_of_experts(Emitter& e, const Node& node) {
  Mixture m(node);
  const Shape& shape = m.type.shape;
  const Dim &rows = shape[0], &width = shape[1];
  constexpr int kScanOfBfloat16 = 16;
  if (m.type.dtype == DType::bf16 && e.opset() < kScanOfBfloat16) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("a mixture of experts in bfloat16 needs opset {}, got {}", kScanOfBfloat16, e.opset()));
  }
  const TensorType sums{m.type.dtype, {rows, 1, width}};
  m.tokens = e.name_of(node.inputs[0]);
  const std::string routing =
      e.emit("Transpose", {e.name_of(node.inputs[1])}, {{"perm", std::vector<std::int64_t>{1, 0}}});

  Names scanned = {e.zeros(sums), busy(e, routing), routing};
  std::vector<TensorType> types = {sums, {DType::boolean, {}}, {m.type.dtype, {rows}}};
  for (const std::size_t weight : {2, 3, 4}) {
    if (!node.inputs[weight]) continue;
    m.matrices.push_back(scan_matrix(e, node.inputs[weight], scanned, types));
    scan_bias(e, node.inputs[weight + 3], m.matrices.back(), scanned, types);
  }
  const auto step = [&](const Names& in) -> Names {
    const auto with = [&](const Names&) -> Names {
      return {add_expert(e, m, in[0], in[2], {in.begin() + 3, in.end()})};
    };
    const auto without = [&](const Names&) -> Names { return {in[0]}; };
    const auto then_branch = e.body("busy", {}, {sums}, with);
    const auto else_branch = e.body("idle", {}, {sums}, without);
    return {e.emit("If", {in[1]}, {{"then_branch", then_branch}, {"else_branch", else_branch}})};
  };
  const auto body = e.body("expert", types, {sums}, step);
  const auto inputs = static_cast<std::int64_t>(scanned.size()) - 1;
  const std::string total = e.emit("Scan", std::move(scanned), {{"body", body}, {"num_scan_inputs", inputs}});
  return e.emit("Reshape", {total, e.reshape_target(sums.shape, shape)});
}

}  // namespace onnxport::lower
