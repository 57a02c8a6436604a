#include "models/audio/common/usm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "onnxport/nn/attention.h"
#include "onnxport/nn/conformer.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-6;  // of norms whose original has no setting for it

Value limited(const UsmConfig& c, Value x) {
  const double limit = std::min(c.limit, highest(x.dtype()));
  return op::clamp(x, -limit, limit);
}

Value normed(const Scope& s, const UsmConfig& c, Value x, double eps = kEps) {
  return nn::RmsNorm(s, c.hidden_size, {.eps = eps})(x);
}

Value feed_forward(const Scope& s, const UsmConfig& c, Value x) {
  const ModulePath at(x, s.path());
  const Value before = normed(s / "pre_layer_norm", c, limited(c, x));
  const Value wide = c.linear(s / "ffw_layer_1", c.hidden_size, 4 * c.hidden_size)(before);
  const Value active = nn::Activation(c.activation)(wide);
  const Value narrow = c.linear(s / "ffw_layer_2", 4 * c.hidden_size, c.hidden_size)(active);
  const Value after = normed(s / "post_layer_norm", c, limited(c, narrow));
  return op::add(op::mul(after, c.residual), x);
}

Dim chunks(const UsmConfig& c, const Dim& length) { return (length + Dim(c.chunk - 1)).floor_div(c.chunk); }

// x [B, L, D], with zeros at its end, by chunks: [B * chunks, chunk, D].
Value by_chunk(const UsmConfig& c, Value x) {
  const Dim count = chunks(c, x.dim(1));
  const Value padded = op::pad(x, {0, 0, 0}, {0, count * Dim(c.chunk) - x.dim(1), 0});
  return op::reshape(padded, {x.dim(0) * count, c.chunk, x.dim(2)});
}

// The frames that chunks look at, with zeros beyond both ends: [B, L, D] -> [B * chunks, seen, D]. They are
// the chunks of the sequence shifted by none, one, … chunks, side by side.
Value around_chunks(const UsmConfig& c, Value x) {
  const Dim count = chunks(c, x.dim(1)), length = count * Dim(c.chunk);
  const std::int64_t shifts = (c.seen() + c.chunk - 1) / c.chunk;
  const Dim behind = length + Dim((shifts - 1) * c.chunk - c.past) - x.dim(1);
  const Value padded = op::pad(x, {0, c.past, 0}, {0, behind, 0});
  std::vector<Value> shifted;
  for (std::int64_t i = 0; i < shifts; ++i) {
    const Value part = op::slice(padded, 1, i * c.chunk, length + Dim(i * c.chunk));
    shifted.push_back(op::reshape(part, {x.dim(0) * count, c.chunk, x.dim(2)}));
  }
  return op::slice(op::concat(shifted, 1), 1, 0, c.seen());
}

// Sines, then cosines of the distances: float32 [distances, hidden_size].
Weight distance_table(const UsmConfig& c) {
  const std::int64_t half = c.hidden_size / 2;
  const double step = std::log(10000.0) / static_cast<double>(std::max<std::int64_t>(half - 1, 1));
  std::vector<double> values;
  for (std::int64_t i = 0; i < c.distances; ++i) {
    const auto angle = [&](std::int64_t k) {
      return static_cast<double>(c.farthest - i) * std::exp(static_cast<double>(k) * -step);
    };
    for (std::int64_t k = 0; k < half; ++k) values.push_back(std::sin(angle(k)));
    for (std::int64_t k = 0; k < half; ++k) values.push_back(std::cos(angle(k)));
  }
  return Weight::from_doubles(DType::f32, {c.distances, 2 * half}, values, "distances");
}

// What queries [N, heads, chunk, d] see in the distances: [N, heads, chunk, seen]. Frame j, counted from the
// first that the chunk sees, has distance number j - i from query i. In rows that are one longer, reading on
// with one element less moves each row by one more.
Value distance_terms(const Scope& s, const UsmConfig& c, Value query) {
  const Value table = query.graph().weight(distance_table(c));
  const Value projected = nn::Linear(s, c.hidden_size, c.hidden_size, false)(table);
  const Value vectors = op::reshape(op::cast(projected, DType::f32), {c.distances, c.heads, c.head_dim()});
  const Value terms = op::matmul(query, op::permute(vectors, {1, 2, 0}));
  const std::int64_t row = c.seen() + 1;
  const Value padded = op::pad(terms, {0, 0, 0, 0}, {0, 0, 0, row - c.distances});
  const Value flat = op::flatten(padded, 2, 3);
  const Value cut = op::slice(flat, 2, 0, c.chunk * c.seen());
  return op::reshape(cut, {query.dim(0), c.heads, c.chunk, c.seen()});
}

// The scores are computed in float32, as in the original.
Value attend(const Scope& s, const UsmConfig& c, Value x, Value visible) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const auto projected = [&](const char* key) {
    return op::cast(c.linear(s / key, c.hidden_size, c.hidden_size)(x), DType::f32);
  };
  const Value per_dim = op::cast(graph.weight(s.weight("per_dim_scale", {c.head_dim()})), DType::f32);
  const Value scale = op::mul(op::softplus(per_dim), c.query_scale);
  const Value query = op::mul(nn::split_heads(by_chunk(c, projected("q_proj")), c.heads), scale);
  const Value keys = c.key_scale == 1 ? projected("k_proj") : op::mul(projected("k_proj"), c.key_scale);
  const Value key = nn::split_heads(around_chunks(c, keys), c.heads);
  const Value value = nn::split_heads(around_chunks(c, projected("v_proj")), c.heads);
  const Value content = op::matmul(query, op::transpose(key, 2, 3));
  const Value scores = op::add(content, distance_terms(s / c.keys.distances, c, query));
  const Value capped = op::mul(op::tanh(op::div(scores, c.softcap)), c.softcap);
  const Value masked = op::masked_fill(capped, op::logical_not(visible), c.hidden_score);
  const Value seen = nn::merge_heads(op::matmul(op::softmax(masked, -1), value));
  const Dim padded = chunks(c, x.dim(1)) * Dim(c.chunk);
  const Value joined = op::reshape(seen, {x.dim(0), padded, c.hidden_size});
  return op::cast(op::slice(joined, 1, 0, x.dim(1)), x.dtype());
}

Value convolution(const Scope& s, const UsmConfig& c, Value x) {
  const ModulePath at(x, s.path());
  const nn::Conv1d depthwise(s / "depthwise_conv1d", c.hidden_size, c.hidden_size, c.kernel, false,
                             {.padding = {c.kernel - 1, 0}, .groups = c.hidden_size});
  const Value before = normed(s / "pre_layer_norm", c, x, c.eps);
  const Value gated = nn::glu(c.linear(s / "linear_start", c.hidden_size, 2 * c.hidden_size)(before), -1);
  const Value mixed = op::transpose(depthwise(op::transpose(gated, 1, 2)), 1, 2);
  const Value after = normed(s / "conv_norm", c, limited(c, mixed), c.eps);
  const Value active = nn::Activation(c.activation)(after);
  return op::add(c.linear(s / "linear_end", c.hidden_size, c.hidden_size)(active), x);
}

}  // namespace

Value usm_visibility(const UsmConfig& c, Value real) {
  const ModulePath at(real, "attention_mask");
  Graph& graph = real.graph();
  std::vector<std::int64_t> near;
  for (std::int64_t i = 0; i < c.chunk; ++i) {
    for (std::int64_t j = 0; j < c.seen(); ++j) {
      const std::int64_t distance = i - (j - c.past);
      near.push_back(distance <= c.back && -distance <= c.ahead ? 1 : 0);
    }
  }
  const Value window = graph.weight(Weight::from_ints({1, 1, c.chunk, c.seen()}, near, DType::boolean));
  const Value numbers = op::unsqueeze(op::cast(real, DType::i64), 2);
  const Value frames = op::gt(around_chunks(c, numbers), 0.0);  // [B * chunks, seen, 1]
  const Value keys = op::reshape(frames, {frames.dim(0), 1, 1, c.seen()});
  return op::logical_and(keys, window);
}

Value usm_layer(const Scope& s, const UsmConfig& c, const UsmFrames& frames, Value visible) {
  const ModulePath at(frames.x, s.path());
  const UsmKeys& keys = c.keys;
  const Value x = feed_forward(s / keys.first, c, frames.x);
  const Value before = normed(s / keys.before_attention, c, limited(c, x));
  const Value seen = attend(s / keys.attention, c, before, visible);
  const Value output = c.linear(s / keys.attention_output, c.hidden_size, c.hidden_size)(seen);
  const Value after = normed(s / keys.after_attention, c, limited(c, output));
  Value attended = op::add(after, x);
  if (c.zero_padding) {
    const Value padding = op::unsqueeze(op::logical_not(frames.real), 2);
    attended = op::masked_fill(attended, padding, 0);
  }
  const Value mixed = feed_forward(s / keys.second, c, convolution(s / "lconv1d", c, attended));
  return normed(s / keys.norm, c, limited(c, mixed));
}

Value every_frame(Value x, std::int64_t step) {
  if (step == 1) return x;
  const Dim length = (x.dim(1) + Dim(step - 1)).floor_div(step);
  const Value places = op::mul(op::arange(x.graph(), length), static_cast<double>(step));
  return op::transpose(op::embedding(op::transpose(x, 0, 1), places), 0, 1);
}

}  // namespace onnxport::models
