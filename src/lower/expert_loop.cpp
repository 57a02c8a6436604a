// Mixture of experts: a Scan over the experts, or over groups of them. It hands each step the weights of one
// expert as a view, so that ONNX Runtime neither copies nor reads those of experts without tokens. Its bodies
// take no value from outside but initializers: OpenVINO refuses others.
#include <fmt/format.h>

#include <functional>
#include <utility>
#include <vector>

#include "lower/experts.h"
#include "onnxport/error.h"
#include "onnxport/ops.h"

namespace onnxport::lower {
namespace {

// States of a Scan: the sums and the tokens. ONNX Runtime copies both in every step.
constexpr std::size_t kStates = 2;

// The other inputs of a step: whether the expert has tokens, the routing, and the weights.
struct Operands {
  Names all;                      // of all experts, [E, ...]
  std::vector<TensorType> types;  // of one

  static constexpr std::size_t kBeforeWeights = 2;
  std::size_t weights() const { return all.size() - kBeforeWeights; }
  void add(std::string name, TensorType type) {
    all.push_back(std::move(name));
    types.push_back(std::move(type));
  }
};

ExpertMatrix add_matrix(Emitter& e, const Value& stacked, Operands& operands) {
  const std::int64_t experts = *stacked.dim(0).constant(), rows = *stacked.dim(1).constant(),
                     columns = *stacked.dim(2).constant();
  auto codes = stacked.node()->op == Op::weight ? codes_of(stacked.node()->weight) : nullptr;
  ExpertMatrix matrix{std::move(codes), rows, columns, operands.weights(), 1};
  if (!matrix.codes) {
    operands.add(e.name_of(stacked), {stacked.dtype(), {rows, columns}});
    return matrix;
  }
  const QuantizedBlocks& parts = matrix.blocks().parts;
  const auto add = [&](const Weight& part) {  // [E * N, ...]
    std::vector<std::int64_t> shape = part.shape();
    shape[0] = rows;
    const TensorType type{part.dtype(), Shape(shape.begin(), shape.end())};
    shape.insert(shape.begin(), experts);
    operands.add(e.weight(part.reshape(shape)), type);
  };
  add(parts.codes);
  add(parts.scales.cast(stacked.dtype()));
  if (parts.zero_points) add(parts.zero_points);
  matrix.count = operands.weights() - matrix.first;
  return matrix;
}

// Adds the biases [E, N] of a matrix.
void add_bias(Emitter& e, const Value& biases, ExpertMatrix& matrix, Operands& operands) {
  if (!biases) return;
  matrix.bias = operands.weights();
  operands.add(e.name_of(biases), {biases.dtype(), {matrix.rows}});
}

// Along one axis: is any of these integers not 0?
struct Any {
  std::string number, flag;
};
Any any(Emitter& e, const std::string& integers, std::int64_t axis) {
  const std::string most =
      e.emit_with_axes("ReduceMax", integers, {axis}, 18, {{"keepdims", std::int64_t{0}}});
  return {most, e.cast(most, DType::boolean)};
}

// The value of `with` if `flag` holds, else `total`.
std::string only_if(Emitter& e, const std::string& flag, const std::string& total, const TensorType& type,
                    const std::function<std::string()>& with) {
  const auto then_branch = e.body("busy", {}, {type}, [&](const Names&) -> Names { return {with()}; });
  const auto else_branch = e.body("idle", {}, {type}, [&](const Names&) -> Names { return {total}; });
  return e.emit("If", {flag}, {{"then_branch", then_branch}, {"else_branch", else_branch}});
}

TensorType sums_of(const Mixture& m, const Dim& rows) { return {m.type.dtype, {rows, 1, m.type.shape[1]}}; }
TensorType tokens_of(const Mixture& m, const Dim& rows) { return {m.type.dtype, {rows, m.type.shape[1]}}; }

// The sums after all experts of `operands`, for as many rows as `total` and `tokens` have.
std::string over_experts(Emitter& e, const Mixture& m, const std::string& total, const std::string& tokens,
                         const Dim& rows, const Operands& operands) {
  const TensorType sums = sums_of(m, rows);
  std::vector<TensorType> types = {sums, tokens_of(m, rows)};
  types.insert(types.end(), operands.types.begin(), operands.types.end());
  types[kStates + 1].shape = {rows};  // the routing
  const auto body = e.body("expert", types, {types[0], types[1]}, [&](const Names& in) -> Names {
    const auto with = [&] {
      return add_expert(e, m, in[0], in[1], in[kStates + 1],
                        {in.begin() + kStates + Operands::kBeforeWeights, in.end()});
    };
    return {only_if(e, in[kStates], in[0], sums, with), in[1]};
  });
  Names taken = {total, tokens};
  taken.insert(taken.end(), operands.all.begin(), operands.all.end());
  return e.emit_all("Scan", kStates, std::move(taken),
                    {{"body", body}, {"num_scan_inputs", static_cast<std::int64_t>(operands.all.size())}})[0];
}

// A step over groups costs time, and saves copies of rows that no expert of the group gets. So mixtures of
// fewer experts have no groups, and with fewer pairs of a row and an expert, there is one group of all.
constexpr std::int64_t kLargestGroup = 8;
constexpr std::int64_t kFewestExperts = 48;
constexpr std::int64_t kFewPairs = 128;

std::int64_t group_size(std::int64_t experts) {
  if (experts < kFewestExperts) return 1;
  std::int64_t size = kLargestGroup;
  while (experts % size != 0) --size;
  return size;
}

// Over groups of experts, and within a group over its experts with the rows that they get. The size of the
// groups is a number at run time. `chosen` [E, N] is 1 where an expert gets a row.
std::string over_groups(Emitter& e, const Mixture& m, const std::string& total, const std::string& tokens,
                        const std::string& chosen, const Operands& operands, std::int64_t experts) {
  const Dim &rows = m.type.shape[0], group = Dim::symbol("experts_of_a_group");
  const Dim some_rows = Dim::symbol("rows_of_a_group");
  const std::int64_t most = group_size(experts);
  const std::string pairs = e.emit("ReduceSum", {chosen}, {{"keepdims", std::int64_t{0}}});
  const std::string few = e.emit("Less", {pairs, e.scalar(kFewPairs, DType::i32)});
  const std::string sizes = e.emit("Where", {few, e.ints({1, experts}), e.ints({experts / most, most})});
  const auto grouped = [&](const std::string& x, const Shape& rest) {
    const std::string shape =
        rest.empty() ? sizes : e.emit("Concat", {sizes, e.dims(rest)}, {{"axis", std::int64_t{0}}});
    return e.emit("Reshape", {x, shape});
  };

  const std::string chosen_by_group = grouped(chosen, {rows});
  const Any row = any(e, chosen_by_group, 1);  // [groups, N]
  const std::string busy = any(e, row.number, 1).flag;
  const TensorType sums = sums_of(m, rows);
  std::vector<TensorType> types = {sums, tokens_of(m, rows), {DType::boolean, {}}, {DType::boolean, {rows}}};
  Names taken = {total, tokens, busy, row.flag};
  for (std::size_t i = 0; i < operands.all.size(); ++i) {
    taken.push_back(grouped(operands.all[i], operands.types[i].shape));
    types.push_back(operands.types[i]);
    types.back().shape.insert(types.back().shape.begin(), group);
  }
  const auto body = e.body("group", types, {types[0], types[1]}, [&](const Names& in) -> Names {
    const auto with = [&] {
      const std::string used = e.emit("NonZero", {in[kStates + 1]});          // [1, n]
      const std::string places = e.emit_with_axes("Squeeze", used, {0}, 13);  // [n]
      const auto gather = [&](const std::string& from, std::int64_t axis) {
        return e.emit("Gather", {from, places}, {{"axis", axis}});
      };
      Operands inner{{in.begin() + kStates + 2, in.end()}, operands.types};
      inner.all[1] = gather(inner.all[1], 1);
      const std::string old = gather(in[0], 0), own = gather(in[1], 0);
      const std::string sum = over_experts(e, m, old, own, some_rows, inner);
      const std::string index = e.emit("Transpose", {used}, {{"perm", std::vector<std::int64_t>{1, 0}}});
      return e.emit("ScatterND", {in[0], index, sum});
    };
    return {only_if(e, in[kStates], in[0], sums, with), in[1]};
  });
  const auto scanned = static_cast<std::int64_t>(taken.size() - kStates);
  return e.emit_all("Scan", kStates, std::move(taken), {{"body", body}, {"num_scan_inputs", scanned}})[0];
}

}  // namespace

Lowered lower_mixture_of_experts(Emitter& e, const Node& node) {
  Mixture m(node);
  const Shape& shape = m.type.shape;
  constexpr int kScanOfBfloat16 = 16;
  if (m.type.dtype == DType::bf16 && e.opset() < kScanOfBfloat16) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("a mixture of experts in bfloat16 needs opset {}, got {}", kScanOfBfloat16, e.opset()));
  }
  const Dim& rows = shape[0];
  const std::string tokens = e.name_of(node.inputs[0]);
  const std::string routing =
      e.emit("Transpose", {e.name_of(node.inputs[1])}, {{"perm", std::vector<std::int64_t>{1, 0}}});
  const std::string chosen = e.cast(e.cast(routing, DType::boolean), DType::i32);

  Operands operands;
  operands.add(any(e, chosen, 1).flag, {DType::boolean, {}});
  operands.add(routing, {m.type.dtype, {rows}});
  for (const std::size_t weight : {2, 3, 4}) {
    if (!node.inputs[weight]) continue;
    m.matrices.push_back(add_matrix(e, node.inputs[weight], operands));
    add_bias(e, node.inputs[weight + 3], m.matrices.back(), operands);
  }
  const TensorType sums = sums_of(m, rows);
  const std::string zeros = e.zeros(sums);
  const std::int64_t experts = *node.inputs[4].dim(0).constant();
  const std::string total = group_size(experts) == 1
                                ? over_experts(e, m, zeros, tokens, rows, operands)
                                : over_groups(e, m, zeros, tokens, chosen, operands, experts);
  return e.emit("Reshape", {total, e.reshape_target(sums.shape, shape)});
}

}  // namespace onnxport::lower
