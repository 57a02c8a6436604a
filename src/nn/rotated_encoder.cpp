#include "onnxport/nn/rotated_encoder.h"

#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

Value attend(const Scope& s, const SelfAttentionParameters& p, Value x, const Turn& turn) {
  const std::int64_t width = p.hidden_size;
  const Linear query(s / p.query, width, width, p.bias != QkvBias::none);
  const Linear key(s / p.key, width, width, p.bias == QkvBias::all);
  const Linear value(s / p.value, width, width, p.bias != QkvBias::none);
  const Linear output(s / p.output, width, width);
  const ModulePath at(x, s.path());
  const Value turned_query = turn(query(x));
  const Value turned_key = turn(key(x));
  const Value plain = value(x);
  return output(
      op::attention({.query = turned_query, .key = turned_key, .value = plain}, p.heads, p.heads).output);
}

}  // namespace

Turn rotation(Value angles, std::int64_t heads) {
  // In float32, because half precision would lose positions.
  const DType dtype = angles.graph().float_dtype();
  const Value cosine = op::cast(op::cos(angles), dtype);
  const Value sine = op::cast(op::sin(angles), dtype);
  return [cosine, sine, heads](Value x) { return op::rotary_embedding(x, cosine, sine, heads); };
}

Value grid_angles(Value of_rows, Value of_columns) {
  const Dim& rows = of_rows.dim(0);
  const Dim& columns = of_columns.dim(0);
  const Dim& width = of_rows.dim(1);
  const Value down = op::expand(op::unsqueeze(of_rows, 1), {rows, columns, width});
  const Value across = op::expand(op::unsqueeze(of_columns, 0), {rows, columns, width});
  return op::reshape(op::concat({down, across}, 2), {1, rows * columns, width * 2});
}

Value pre_norm_residual(Value x, const std::function<Value(Value)>& norm,
                        const std::function<Value(Value)>& branch, const Weight& scale) {
  const Value result = branch(norm(x));
  return op::add(scale ? op::mul(result, result.graph().weight(scale)) : result, x);
}

Value rotated_layer(const Scope& s, const EncoderLayerParameters& p, Value x, const Turn& turn) {
  const std::int64_t width = p.attention.hidden_size;
  const LayerNorm before(s / p.attention_norm, width, p.eps), after(s / p.output_norm, width, p.eps);
  const Mlp mlp(s.path(), Linear(s / p.up, width, p.intermediate_size),
                Linear(s / p.down, p.intermediate_size, width), p.activation);
  const ModulePath at(x, s.path());
  const auto attention = [&](Value y) { return attend(s / p.attention_key, p.attention, y, turn); };
  x = pre_norm_residual(x, before, attention);
  return pre_norm_residual(x, after, mlp);
}

}  // namespace onnxport::nn
