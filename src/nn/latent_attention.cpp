#include "onnxport/nn/latent_attention.h"

#include <vector>

#include "onnxport/nn/basic.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

/// The layers of queries, one after the other.
std::function<Value(Value)> query_layers(const Scope& s, const LatentAttentionParameters& p) {
  const std::int64_t width = p.heads * (p.plain_dim + p.turned_dim);
  if (!p.query_rank) return Linear(s / "q_proj", p.hidden_size, width, false);
  const Linear down(s / "q_a_proj", p.hidden_size, *p.query_rank, p.bias);
  const RmsNorm norm(s / "q_a_layernorm", *p.query_rank, {});
  const Linear up(s / "q_b_proj", *p.query_rank, width, false);
  return [=](Value x) { return up(norm(down(x))); };
}

/// [B, S, H * (plain + turned)] with the second part of each head rotated.
Value turn_ends(Value x, const LatentAttentionParameters& p, const DecoderPass& pass) {
  const Dim &batch = x.dim(0), &length = x.dim(1);
  const Value heads = op::reshape(x, {batch, length, p.heads, p.plain_dim + p.turned_dim});
  const std::vector<Value> parts = op::split(heads, 3, {p.plain_dim, p.turned_dim});
  const Value ends = op::reshape(parts[1], {batch, length, p.heads * p.turned_dim});
  const Value turned = op::reshape(p.rotate(ends, p.heads, pass), {batch, length, p.heads, p.turned_dim});
  return op::reshape(op::concat({parts[0], turned}, 3), x.shape());
}

}  // namespace

CausalAttentionParts latent_attention(const Scope& s, std::int64_t layer,
                                      const LatentAttentionParameters& p) {
  const std::int64_t key_dim = p.plain_dim + p.turned_dim;
  const auto query = query_layers(s, p);
  const Linear down(s / "kv_a_proj_with_mqa", p.hidden_size, p.rank + p.turned_dim, p.bias);
  const RmsNorm norm(s / "kv_a_layernorm", p.rank, {});
  const Linear up(s / "kv_b_proj", p.rank, p.heads * (p.plain_dim + p.value_dim), false);
  const Projection qkv = [=](Value x, const DecoderPass& pass) -> QueryKeyValue {
    const Dim &batch = x.dim(0), &length = x.dim(1);
    const Value queries = turn_ends(query(x), p, pass);
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

}  // namespace onnxport::nn
