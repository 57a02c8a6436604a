// Recurrences.
#include "onnxport/recurrence.h"

#include <optional>
#include <utility>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

Recurrence causal_conv(Value x, Value weight, Value bias, Value past, std::int64_t kept) {
  Node& node = detail::make(x.graph(), Op::causal_conv, {x, weight, bias, past}, {{"kept", kept}});
  return {node.out(0), node.out(1)};
}

Recurrence selective_scan(const SelectiveScanOperands& o, std::int64_t groups) {
  Node& node = detail::make(o.x.graph(), Op::selective_scan,
                            {o.x, o.time_step, o.decay, o.input, o.output, o.past}, {{"groups", groups}});
  return {node.out(0), node.out(1)};
}

Recurrence linear_attention(const LinearAttentionOperands& o, std::int64_t heads, std::int64_t key_heads) {
  Node& node =
      detail::make(o.query.graph(), Op::linear_attention, {o.query, o.key, o.value, o.decay, o.beta, o.past},
                   {{"heads", heads}, {"key_heads", key_heads}});
  return {node.out(0), node.out(1)};
}

Recurrence linear_recurrence(Value x, Value remains, Value past) {
  Node& node = detail::make(x.graph(), Op::linear_recurrence, {x, remains, past}, {});
  return {node.out(0), node.out(1)};
}

Wkv wkv(Value key, Value value, Value decay, Value bonus, const WkvState& past) {
  Node& node = detail::make(key.graph(), Op::wkv,
                            {key, value, decay, bonus, past.numerator, past.denominator, past.maximum}, {});
  return {node.out(0), {node.out(1), node.out(2), node.out(3)}};
}

Lstm lstm(const LstmOperands& o) {
  Node& node = detail::make(
      o.x.graph(), Op::lstm,
      {o.x, o.input_weight, o.hidden_weight, o.input_bias, o.hidden_bias, o.past_hidden, o.past_cell}, {});
  return {node.out(0), node.out(1), node.out(2)};
}

namespace detail {
namespace {

void require(const Node& node, bool fits) {
  if (fits) return;
  std::string all;
  for (const Value& input : node.inputs) {
    if (!all.empty()) all += ", ";
    all += input ? to_string(input.type()) : "none";
  }
  reject(node, "operands {} do not fit together", all);
}

// Operands that are present are floats of one dtype; the first `required` must be present.
void require_floats(const Node& node, std::size_t required, std::size_t count) {
  if (node.inputs.size() != count) reject(node, "got {} operands, expected {}", node.inputs.size(), count);
  for (std::size_t i = 0; i < count; ++i) {
    if (i >= required && !node.inputs[i]) continue;
    require_float(node, operand(node, i));
    require_same_dtype(node, operand(node, 0), operand(node, i));
  }
}

// The same for a state that sums up many tokens, which half precision is too coarse for.
void require_wide_floats(const Node& node, std::size_t required, std::size_t count) {
  require_floats(node, required, count);
  const TensorType& first = operand(node, 0);
  if (size_of(first.dtype) < 4) reject(node, "got {}, expected float32", to_string(first));
}

bool has_shape(const Value& value, const Shape& shape) { return !value || value.shape() == shape; }

// The quotient, which must be a whole positive number.
std::int64_t quotient(const Node& node, const Dim& dim, std::int64_t by) {
  require(node, by > 0 && dim.is_constant() && *dim.constant() > 0 && *dim.constant() % by == 0);
  return *dim.constant() / by;
}

}  // namespace

Types infer_causal_conv(const Node& node) {
  require_floats(node, 2, 4);
  const TensorType& x = operand(node, 0);
  const Shape& weight = operand(node, 1).shape;
  const Value &bias = node.inputs[2], &past = node.inputs[3];
  require(node, x.shape.size() == 3 && weight.size() == 3 && weight[0] == x.shape[1] && weight[1] == 1);
  const std::int64_t kernel = quotient(node, weight[2], 1);
  require(node, has_shape(bias, {weight[0]}));
  require(node, !past || past.shape().size() == 3);
  if (past) {
    const std::int64_t width = past.dim(2).constant().value_or(0);
    require(node, past.dim(0) == x.shape[0] && past.dim(1) == x.shape[1] && width >= kernel - 1);
  }
  const std::int64_t kept = node.attrs.integer("kept");
  if (kept < 1 || kept > kernel) reject(node, "keeps {} inputs, expected 1 to {}", kept, kernel);
  return {x, {x.dtype, {x.shape[0], x.shape[1], kept}}};
}

Types infer_selective_scan(const Node& node) {
  require_wide_floats(node, 5, 6);
  const TensorType& x = operand(node, 0);
  const Shape& step = operand(node, 1).shape;
  const Shape& decay = operand(node, 2).shape;
  const Shape& input = operand(node, 3).shape;
  require(node, x.shape.size() == 3 && step.size() == 3 && input.size() == 3 && !decay.empty());
  const Dim &batch = x.shape[0], &length = x.shape[1];
  const std::int64_t groups = node.attrs.integer("groups");
  const std::int64_t heads = quotient(node, step[2], 1);
  const std::int64_t channels = quotient(node, x.shape[2], heads);
  const std::int64_t size = quotient(node, input[2], groups);
  require(node, heads % groups == 0 && step == Shape{batch, length, heads});
  require(node, decay == Shape{heads} || decay == Shape{heads, size});
  require(node, input == Shape{batch, length, groups * size} && operand(node, 4).shape == input);
  const Shape state = {batch, heads, channels, size};
  require(node, has_shape(node.inputs[5], state));
  return {x, {x.dtype, state}};
}

Types infer_linear_attention(const Node& node) {
  require_wide_floats(node, 4, 6);
  const Shape& query = operand(node, 0).shape;
  const TensorType& value = operand(node, 2);
  require(node, query.size() == 3 && value.shape.size() == 3 && operand(node, 1).shape == query);
  const Dim &batch = query[0], &length = query[1];
  const std::int64_t heads = node.attrs.integer("heads"), key_heads = node.attrs.integer("key_heads");
  const std::int64_t key_size = quotient(node, query[2], key_heads);
  const std::int64_t value_size = quotient(node, value.shape[2], heads);
  const Shape per_head = {batch, length, heads}, per_key = {batch, length, heads * key_size};
  require(node, heads % key_heads == 0 && value.shape[0] == batch && value.shape[1] == length);
  require(node, has_shape(node.inputs[3], per_head) || has_shape(node.inputs[3], per_key));
  const Shape state = {batch, heads, key_size, value_size};
  require(node, has_shape(node.inputs[4], per_head) && has_shape(node.inputs[5], state));
  return {value, {value.dtype, state}};
}

Types infer_linear_recurrence(const Node& node) {
  require_wide_floats(node, 2, 3);
  const TensorType& x = operand(node, 0);
  require(node, x.shape.size() == 3 && operand(node, 1).shape == x.shape);
  const Shape state = {x.shape[0], x.shape[2]};
  require(node, has_shape(node.inputs[2], state));
  return {x, {x.dtype, state}};
}

Types infer_wkv(const Node& node) {
  require_wide_floats(node, 4, 7);
  const TensorType& key = operand(node, 0);
  require(node, key.shape.size() == 3 && operand(node, 1).shape == key.shape);
  require(node,
          operand(node, 2).shape == Shape{key.shape[2]} && operand(node, 3).shape == Shape{key.shape[2]});
  const TensorType state{key.dtype, {key.shape[0], key.shape[2]}};
  for (std::size_t i = 4; i < 7; ++i) {
    require(node, has_shape(node.inputs[i], state.shape));
    require(node, static_cast<bool>(node.inputs[i]) == static_cast<bool>(node.inputs[4]));
  }
  return {key, state, state, state};
}

Types infer_lstm(const Node& node) {
  require_floats(node, 3, 7);
  const TensorType& x = operand(node, 0);
  const Shape &input = operand(node, 1).shape, &hidden = operand(node, 2).shape;
  require(node, x.shape.size() == 3 && input.size() == 2 && hidden.size() == 2 && input[1] == x.shape[2]);
  const std::int64_t width = quotient(node, hidden[0], 4);
  require(node, input[0] == hidden[0] && hidden[1] == Dim(width));
  const TensorType state{x.dtype, {x.shape[0], width}};
  for (const std::size_t first : {3, 5}) {
    const Value &one = node.inputs[first], &other = node.inputs[first + 1];
    const Shape expected = first == 3 ? Shape{4 * width} : state.shape;
    require(node, static_cast<bool>(one) == static_cast<bool>(other));
    require(node, has_shape(one, expected) && has_shape(other, expected));
  }
  return {{x.dtype, {x.shape[0], x.shape[1], width}}, state, state};
}

}  // namespace detail
}  // namespace onnxport::op
