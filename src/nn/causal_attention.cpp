#include "onnxport/nn/causal_attention.h"

#include <fmt/format.h>

#include <array>

namespace onnxport::nn {

QkvProjection QkvProjection::separate(const Scope& s, const HeadSizes& sizes, bool bias,
                                      const std::string& query, const std::string& key,
                                      const std::string& value, bool key_bias) {
  return {{Linear(s / query, sizes.hidden_size, sizes.heads * sizes.head_dim, bias),
           Linear(s / key, sizes.hidden_size, sizes.kv_heads * sizes.head_dim, bias && key_bias),
           Linear(s / value, sizes.hidden_size, sizes.kv_heads * sizes.head_dim, bias)},
          {}};
}

QkvProjection QkvProjection::fused(const Linear& fused, const HeadSizes& sizes, FusedLayout layout) {
  const std::vector<std::int64_t> widths = {sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim,
                                            sizes.kv_heads * sizes.head_dim};
  if (layout == FusedLayout::stacked) return {{fused}, widths};
  // The rows are sorted at export, so that the graph cuts its activations in three.
  const std::int64_t group = sizes.heads / sizes.kv_heads;
  const auto sorted = [&](const Weight& rows) {
    std::vector<std::int64_t> shape = {sizes.kv_heads, group + 2, sizes.head_dim};
    std::vector<std::int64_t> flat = {0};
    if (rows.shape().size() == 2) {
      shape.push_back(rows.shape()[1]);
      flat.push_back(rows.shape()[1]);
    }
    const Weight groups = rows.reshape(shape);
    std::vector<Weight> parts;
    for (const auto& [begin, end] : std::array<std::array<std::int64_t, 2>, 3>{
             {{0, group}, {group, group + 1}, {group + 1, group + 2}}}) {
      const Weight part = groups.slice(1, begin, end);
      flat[0] = sizes.kv_heads * (end - begin) * sizes.head_dim;
      parts.push_back(part.reshape(flat));
    }
    return Weight::concat(parts, 0);
  };
  return {{Linear(fused.path(), sorted(fused.weight()), fused.bias() ? sorted(fused.bias()) : Weight())},
          widths};
}

QkvProjection QkvProjection::repeated(const HeadSizes& sizes) && {
  repeated_ = sizes;
  return std::move(*this);
}

QkvProjection QkvProjection::clipped(double bound) && {
  bound_ = bound;
  return std::move(*this);
}

QueryKeyValue QkvProjection::operator()(Value x) const {
  std::vector<Value> parts;
  if (linears_.size() == 3) {
    for (const Linear& linear : linears_) parts.push_back(linear(x));
  } else {
    parts = op::split(linears_[0](x), -1, widths_);
  }
  if (bound_) {
    for (Value& part : parts) part = op::clamp(part, -*bound_, *bound_);
  }
  if (repeated_) {
    const HeadSizes& z = *repeated_;
    const Dim &batch = x.dim(0), &length = x.dim(1);
    for (std::size_t i = 1; i < 3; ++i) {
      const Value once = op::reshape(parts[i], {batch, length, z.kv_heads, 1, z.head_dim});
      const Value often = op::expand(once, {batch, length, z.kv_heads, z.heads / z.kv_heads, z.head_dim});
      parts[i] = op::reshape(often, parts[0].shape());
    }
  }
  return {parts[0], parts[1], parts[2]};
}

LayerMask sees(const Visibility& visible, op::NoKeys no_keys) {
  return [visible, no_keys](const DecoderPass& pass) { return pass.mask(visible, no_keys); };
}

std::function<Value(Value)> per_head(std::function<Value(Value)> norm, std::int64_t head_dim) {
  return [norm = std::move(norm), head_dim](Value x) {
    const std::int64_t heads = x.dim(2).constant().value() / head_dim;
    const Value apart = op::reshape(x, {x.dim(0), x.dim(1), heads, head_dim});
    return op::reshape(norm(apart), x.shape());
  };
}

std::function<Value(Value)> layer_norm_of_heads(std::string path, Weight weights, double eps) {
  const std::int64_t head_dim = weights.shape().at(1);
  const auto norm = [path = std::move(path), weights = std::move(weights), eps](Value heads) {
    const ModulePath at(heads, path);
    const Value normed = op::layer_norm(heads, {}, {}, eps);
    return op::mul(normed, heads.graph().weight(weights));
  };
  return per_head(norm, head_dim);
}

Value CausalAttention::operator()(Value x, DecoderPass& pass, const op::AttentionMask& mask) const {
  const CausalAttentionParts& p = parts_;
  const ModulePath at(x, p.path);
  QueryKeyValue now = p.qkv(x, pass);
  const auto angles = [&] { return p.rotary ? (*p.rotary)(pass.position_ids()) : op::Rope(); };
  const bool turns_first = p.rotary && p.norm_place == NormPlace::after_rotation;
  if (turns_first) {
    const op::Rope rope = angles();
    now.query = turned(now.query, rope, p.sizes.heads);
    now.key = turned(now.key, rope, p.sizes.kv_heads);
  }
  if (p.query_norm) now.query = p.query_norm(now.query);
  if (p.key_norm) now.key = p.key_norm(now.key);
  const KeyValue past = pass.past(p.layer);
  const op::Rope rope = turns_first ? op::Rope() : angles();
  const auto to = [](Value value, DType dtype) { return value ? op::cast(value, dtype) : value; };
  const DType dtype = x.dtype(), inner = p.score_dtype.value_or(dtype);
  op::AttentionOperands operands;
  operands.mask = mask;
  operands.rope = rope;
  operands.query = to(now.query, inner);
  operands.key = to(now.key, inner);
  operands.value = to(now.value, inner);
  operands.past_key = to(past.key, inner);
  operands.past_value = to(past.value, inner);
  operands.mask.bias = to(mask.bias, inner);
  if (p.sinks) operands.sinks = to(x.graph().weight(p.sinks), inner);
  const std::string weights = fmt::format("attentions.{}", p.layer);
  op::AttentionOptions options = p.options;
  options.weights = pass.wants(weights);
  const op::AttentionResults results = op::attention(operands, p.sizes.heads, p.sizes.kv_heads, options);
  if (options.weights) pass.give(weights, to(results.weights, dtype));
  const Value key = to(results.key, dtype);
  pass.keep(p.layer, {key, to(results.value, dtype)});
  if (mask.window && *mask.window > 1 && !pass.has_past()) pass.crop(p.layer, *mask.window - 1);
  return p.output(to(results.output, dtype));
}

}  // namespace onnxport::nn
