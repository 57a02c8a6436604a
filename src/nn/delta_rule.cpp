#include "onnxport/nn/delta_rule.h"

#include <cmath>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

// x [B, S, heads * size] with heads of length `length`: x / sqrt(|x|² + 1e-6), times that.
Value unit_heads(Value x, std::int64_t heads, std::int64_t size, double length) {
  constexpr double kEps = 1e-6;
  const double root = std::sqrt(static_cast<double>(size));
  const Value apart = op::reshape(x, {x.dim(0), x.dim(1), heads, size});
  const Value normed = op::rms_norm(apart, {}, kEps / static_cast<double>(size));
  return op::reshape(op::mul(normed, length / root), x.shape());
}

}  // namespace

Value delta_beta(Value x) { return op::sigmoid(op::cast(x, DType::f32)); }

Value delta_decay(Value step, const Weight& shift, const Weight& decay) {
  Graph& graph = step.graph();
  const Value by = graph.weight_as_is(shift.cast(DType::f32));
  const Value shifted = op::add(op::cast(step, DType::f32), by);
  const std::int64_t heads = decay.shape().at(0);
  if (step.dim(2) == heads) {
    const Value rates = graph.weight_as_is(decay);
    return op::mul(op::softplus(shifted), rates);
  }
  const Value apart = op::reshape(op::softplus(shifted), {step.dim(0), step.dim(1), heads, -1});
  const Value scaled = op::mul(apart, graph.weight_as_is(decay.reshape({heads, 1})));
  return op::reshape(scaled, step.shape());
}

Value GatedDeltaNet::operator()(Value x, DecoderPass& pass) const {
  const ModulePath at(x, parts_.path);
  const DeltaSizes& z = parts_.sizes;
  Graph& graph = x.graph();
  const DeltaInputs in = parts_.project(pass.zero_padding(x));
  const Value convolved = activation_(parts_.conv1d(in.mixed, pass, parts_.layer));
  const std::vector<Value> mixed =
      op::split(op::cast(convolved, DType::f32), -1, {z.keys(), z.keys(), z.values()});
  op::LinearAttentionOperands attention;
  attention.query =
      unit_heads(mixed[0], z.key_heads, z.key_dim, 1 / std::sqrt(static_cast<double>(z.key_dim)));
  attention.key = unit_heads(mixed[1], z.key_heads, z.key_dim, 1);
  attention.value = mixed[2];
  attention.decay = in.decay;
  attention.beta = in.beta;
  attention.past = wide_past(pass, parts_.layer, "recurrent");
  const op::Recurrence made = op::linear_attention(attention, z.value_heads, z.key_heads);
  keep_wide(pass, parts_.layer, "recurrent", made.state);

  const Shape heads = {x.dim(0), x.dim(1), z.value_heads, z.value_dim};
  const Value y = op::cast(op::reshape(made.output, heads), graph.float_dtype());
  const Value normed = parts_.norm(y, op::reshape(in.gate, heads));
  return parts_.out_proj(op::reshape(normed, made.output.shape()));
}

}  // namespace onnxport::nn
