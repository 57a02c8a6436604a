#include "onnxport/nn/latent_attention.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "onnxport/nn/basic.h"

namespace onnxport::nn {
namespace {

/// The layers of queries, one after the other.
std::function<LatentQuery(Value)> query_layers(const Scope& s, const LatentAttentionParameters& p) {
  const std::int64_t width = p.heads * (p.plain_dim + p.turned_dim);
  if (!p.query_rank) {
    return [layer = Linear(s / "q_proj", p.hidden_size, width, false)](Value x) {
      return LatentQuery{.query = layer(x)};
    };
  }
  const Linear down(s / "q_a_proj", p.hidden_size, *p.query_rank, p.bias);
  const RmsNorm norm(s / "q_a_layernorm", *p.query_rank, {});
  const Linear up(s / "q_b_proj", *p.query_rank, width, false);
  return [=](Value x) {
    const Value latent = norm(down(x));
    return LatentQuery{.query = up(latent), .latent = latent};
  };
}

/// [B, S, H * (plain + turned)] with the second part of each head rotated.
Value turn_ends(Value x, const LatentAttentionParameters& p, const DecoderPass& pass) {
  return change_part(x, p.heads, p.plain_dim, p.turned_dim,
                     [&](Value ends) { return p.rotate(ends, p.heads, pass); });
}

Scope up_scope(const Scope& s) { return s / "kv_b_proj"; }

/// GGUF files hold the rows of keys and those of values apart, the former turned.
Weight joined_up(const Scope& s, const LatentAttentionParameters& p) {
  const Weight keys = (s / "k_b_proj").weight("weight", {p.heads, p.rank, p.plain_dim}).permute({0, 2, 1});
  const std::array<Weight, 2> parts = {keys,
                                       (s / "v_b_proj").weight("weight", {p.heads, p.value_dim, p.rank})};
  return Weight::concat(parts, 1)
      .reshape({p.heads * (p.plain_dim + p.value_dim), p.rank})
      .named(up_scope(s).path() + ".weight");
}

bool has_joined_up(const Scope& s) { return (s / "k_b_proj").exists(); }

}  // namespace

CausalAttentionParts latent_attention(const Scope& s, std::int64_t layer,
                                      const LatentAttentionParameters& p) {
  const std::int64_t key_dim = p.plain_dim + p.turned_dim;
  const auto query = query_layers(s, p);
  const Linear down(s / "kv_a_proj_with_mqa", p.hidden_size, p.rank + p.turned_dim, p.bias);
  const RmsNorm norm(s / "kv_a_layernorm", p.rank, {});
  const Linear up = has_joined_up(s)
                        ? Linear(up_scope(s).path(), joined_up(s, p), {})
                        : Linear(up_scope(s), p.rank, p.heads * (p.plain_dim + p.value_dim), false);
  const Projection qkv = [=](Value x, const DecoderPass& pass) -> QueryKeyValue {
    const Dim &batch = x.dim(0), &length = x.dim(1);
    const Value queries = turn_ends(query(x).query, p, pass);
    const std::vector<Value> latent = op::split(down(x), 2, {p.rank, p.turned_dim});
    const Value turned = op::reshape(p.rotate(latent[1], 1, pass), {batch, length, 1, p.turned_dim});
    const Value shared = op::expand(turned, {batch, length, p.heads, p.turned_dim});
    const Value wide = op::reshape(up(norm(latent[0])), {batch, length, p.heads, p.plain_dim + p.value_dim});
    const std::vector<Value> parts = op::split(wide, 3, {p.plain_dim, p.value_dim});
    const Value keys = op::reshape(op::concat({parts[0], shared}, 3), {batch, length, p.heads * key_dim});
    return {queries, keys, op::reshape(parts[1], {batch, length, p.heads * p.value_dim})};
  };
  return {.path = s.path(),
          .layer = layer,
          .sizes = {p.hidden_size, p.heads, p.heads, key_dim},
          .qkv = qkv,
          .output = Linear(s / "o_proj", p.heads * p.value_dim, p.hidden_size, p.bias)};
}

LatentAttentionParts cached_latent_attention(const Scope& s, std::int64_t layer,
                                             const LatentAttentionParameters& p, LatentQueries query) {
  if (!query) query = [layers = query_layers(s, p)](Value x, const DecoderPass&) { return layers(x); };
  LatentAttentionParts parts{
      .path = s.path(),
      .layer = layer,
      .sizes = p,
      .query = std::move(query),
      .down = Linear(s / "kv_a_proj_with_mqa", p.hidden_size, p.rank + p.turned_dim, p.bias),
      .norm = RmsNorm(s / "kv_a_layernorm", p.rank, {}),
      .up = has_joined_up(s) ? joined_up(s, p)
                             : up_scope(s).weight("weight", {p.heads * (p.plain_dim + p.value_dim), p.rank}),
      .output = Linear(s / "o_proj", p.heads * p.value_dim, p.hidden_size, p.bias)};
  parts.options.scale = 1 / std::sqrt(static_cast<double>(p.plain_dim + p.turned_dim));
  return parts;
}

LatentAttention::LatentAttention(LatentAttentionParts parts) : parts_(std::move(parts)) {
  const LatentAttentionParameters& z = parts_.sizes;
  parts_.up = parts_.up.reshape({z.heads, z.plain_dim + z.value_dim, z.rank});
}

// [B, S, H * (plain + turned)] -> [B, S, H * (rank + turned)]: the rotated ends, behind the products of the
// other parts with the rows of `up` that make keys. Zeros stand in front of the rows that make values,
// because a weight that is cut would no longer have the bytes of the checkpoint.
Value LatentAttention::latent_queries(Value query, const DecoderPass& pass) const {
  const LatentAttentionParameters& z = parts_.sizes;
  const Dim &batch = query.dim(0), &length = query.dim(1);
  const Value heads = op::reshape(query, {batch, length, z.heads, z.plain_dim + z.turned_dim});
  const std::vector<Value> parts = op::split(heads, 3, {z.plain_dim, z.turned_dim});
  const Value ends = op::reshape(parts[1], {batch, length, z.heads * z.turned_dim});
  const Value turned = op::reshape(z.rotate(ends, z.heads, pass), {batch, length, z.heads, z.turned_dim});
  const Value padded = op::pad(parts[0], {0, 0, 0, 0}, {0, 0, 0, z.value_dim});
  const Value apart =
      op::reshape(op::permute(padded, {2, 0, 1, 3}), {z.heads, batch * length, z.plain_dim + z.value_dim});
  const Value products = op::matmul(apart, query.graph().weight(parts_.up));  // [H, B * S, rank]
  const Value rows = op::permute(op::reshape(products, {z.heads, batch, length, z.rank}), {1, 2, 0, 3});
  return op::reshape(op::concat({rows, turned}, 3), {batch, length, z.heads * (z.rank + z.turned_dim)});
}

// Weighted sums of latents [B, S, H * rank] -> the values that they make [B, S, H * value].
Value LatentAttention::values(Value sums) const {
  const LatentAttentionParameters& z = parts_.sizes;
  const Dim &batch = sums.dim(0), &length = sums.dim(1);
  const Value heads = op::reshape(sums, {batch * length, z.heads, z.rank});
  const Value up = sums.graph().weight(parts_.up);
  const Value products = op::matmul(up, op::permute(heads, {1, 2, 0}));  // [H, plain + value, B * S]
  const Value made = op::slice(products, 1, z.plain_dim, z.plain_dim + z.value_dim);
  return op::reshape(op::permute(made, {2, 0, 1}), {batch, length, z.heads * z.value_dim});
}

Value LatentAttention::operator()(Value x, DecoderPass& pass) const {
  const LatentAttentionParts& p = parts_;
  const LatentAttentionParameters& z = p.sizes;
  const ModulePath at(x, p.path);
  const LatentQuery made = p.query(x, pass);
  const std::vector<Value> parts = op::split(p.down(x), 2, {z.rank, z.turned_dim});
  const Value latent = p.norm(parts[0]);
  const Value turned = z.rotate(p.turned_norm ? p.turned_norm(parts[1]) : parts[1], 1, pass);
  op::AttentionOperands operands;
  operands.query = latent_queries(made.query, pass);
  operands.key = op::concat({latent, turned}, 2);
  operands.value = latent;
  if (const KeyValue past = pass.past(p.layer); past.key) {
    operands.past_key = op::concat({past.key, past.value}, 3);
    operands.past_value = past.key;
  }
  operands.mask = p.mask(pass);
  if (p.selection) operands.mask.visible = p.selection(x, made, pass);
  if (p.sinks) operands.sinks = x.graph().weight(p.sinks);
  const std::string weights = fmt::format("attentions.{}", p.layer);
  op::AttentionOptions options = p.options;
  options.weights = pass.wants(weights);
  const op::AttentionResults results = op::attention(operands, z.heads, 1, options);
  if (options.weights) pass.give(weights, results.weights);
  pass.keep(p.layer, {results.value, op::slice(results.key, 3, z.rank, z.rank + z.turned_dim)});
  const std::optional<std::int64_t> window = operands.mask.window;
  if (window && *window > 1 && !pass.has_past()) pass.crop(p.layer, *window - 1);
  Value context = values(results.output);
  if (made.gate) {
    const std::int64_t width = *made.gate.dim(2).constant() / z.heads;
    const Dim &batch = x.dim(0), &length = x.dim(1);
    const Value heads = op::reshape(context, {batch, length, z.heads, z.value_dim});
    const Value gate = op::sigmoid(op::reshape(made.gate, {batch, length, z.heads, width}));
    context = op::reshape(op::mul(heads, gate), context.shape());
  }
  return p.output(context);
}

Value change_part(Value x, std::int64_t heads, std::int64_t begin, std::int64_t width,
                  const std::function<Value(Value)>& change) {
  const Dim &batch = x.dim(0), &length = x.dim(1);
  const std::int64_t head = *x.dim(2).constant() / heads, rest = head - begin - width;
  std::vector<std::int64_t> sizes = {width};
  if (begin > 0) sizes.insert(sizes.begin(), begin);
  if (rest > 0) sizes.push_back(rest);
  std::vector<Value> parts = op::split(op::reshape(x, {batch, length, heads, head}), 3, sizes);
  Value& part = parts.at(begin > 0 ? 1 : 0);
  const Value changed = change(op::reshape(part, {batch, length, heads * width}));
  part = op::reshape(changed, {batch, length, heads, width});
  return op::reshape(parts.size() == 1 ? part : op::concat(parts, 3), x.shape());
}

}  // namespace onnxport::nn
