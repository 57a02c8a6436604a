#include "onnxport/nn/conformer.h"

#include <cmath>
#include <vector>

#include "onnxport/nn/relative_attention.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

// A convolution with a kernel of one frame, as a product of matrices.
Linear pointwise(const Scope& s, std::int64_t in, std::int64_t out, bool bias) {
  const Weight weight = s.weight("weight", {out, in, 1}).reshape({out, in});
  return {s.path(), weight, bias ? s.weight("bias", {out}) : Weight()};
}

std::int64_t inner_width(const ConformerConvParameters& p) { return p.inner > 0 ? p.inner : p.width; }

Conv1d depthwise(const Scope& s, const ConformerConvParameters& p) {
  const std::int64_t behind = p.causal ? 0 : (p.kernel - 1) / 2, channels = inner_width(p);
  return {s,
          channels,
          channels,
          p.kernel,
          p.bias == ConformerConvBias::all,
          {.padding = {p.kernel - 1 - behind, behind}, .groups = channels}};
}

}  // namespace

Value glu(Value x, std::int64_t axis) {
  const std::vector<Value> halves = op::chunk(x, axis, 2);
  const Value gate = op::sigmoid(halves[1]);
  return op::mul(halves[0], gate);
}

Value conformer_distances(Graph& graph, const Dim& length, std::int64_t width, DType dtype) {
  const ModulePath at(graph, "distances");
  const Value distances = op::neg(op::arange(graph, length * 2, Dim(0) - length));
  const Value halves = sinusoids(distances, width, dtype);
  const Value pairs = op::transpose(op::reshape(halves, {length * 2, 2, width / 2}), 1, 2);
  return op::reshape(pairs, {length * 2, width});
}

ConformerAttention::ConformerAttention(const Scope& s, const ConformerAttentionParameters& p)
    : path_(s.path()),
      heads_(p.projections.heads),
      head_dim_(p.projections.hidden_size / p.projections.heads),
      query_(s / p.projections.query, p.projections.hidden_size, p.projections.hidden_size,
             p.projections.bias == QkvBias::all),
      key_(s / p.projections.key, p.projections.hidden_size, p.projections.hidden_size,
           p.projections.bias == QkvBias::all),
      value_(s / p.projections.value, p.projections.hidden_size, p.projections.hidden_size,
             p.projections.bias == QkvBias::all),
      output_(s / p.projections.output, p.projections.hidden_size, p.projections.hidden_size,
              p.projections.bias == QkvBias::all),
      vectors_(p.vectors) {
  const std::int64_t width = p.projections.hidden_size;
  if (p.terms) {
    distances_.emplace(s / p.terms->projection, width, width, false);
    const auto bias = [&](const std::string& key) {
      return s.weight(key, {heads_, head_dim_}).reshape({width});
    };
    content_bias_ = bias(p.terms->content_bias);
    distance_bias_ = bias(p.terms->distance_bias);
  }
  if (vectors_) {
    const std::int64_t count = vectors_->left + 1 + vectors_->right;
    vector_table_ = (s / "distance_embedding").weight("weight", {count, head_dim_});
  }
}

Value ConformerAttention::terms_of(Value query, const ConformerContext& shared) const {
  const Value biased = op::add(query, query.graph().weight(distance_bias_));
  const Value distances = (*distances_)(shared.distances);
  return distance_scores(biased, distances, heads_, query.dim(1));
}

Value ConformerAttention::vectors_of(Value query) const {
  Graph& graph = query.graph();
  const Dim& length = query.dim(1);
  const auto left = static_cast<double>(vectors_->left), right = static_cast<double>(vectors_->right);
  // Column c of the scores is that of the distance c - L from a query to a key.
  const Value distances = op::arange(graph, length * 2, Dim(0) - length);
  const Value near = op::minimum(op::maximum(distances, -left), right);
  const Value rows = op::add(near, left);
  const Value vectors = op::embedding(graph.weight(vector_table_), rows);
  return distance_scores(query, vectors, heads_, length);
}

Value ConformerAttention::operator()(Value x, const ConformerContext& shared) const {
  const ModulePath at(x, path_);
  const Value turned_x = shared.rope ? turned(x, shared.rope, heads_) : x;
  Value query = query_(turned_x);
  const Value key = key_(turned_x);
  const Value value = value_(x);
  op::AttentionMask mask = shared.mask;
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim_));
  if (distances_) {
    mask.bias = op::mul(terms_of(query, shared), scale);
    query = op::add(query, x.graph().weight(content_bias_));
  } else if (vectors_) {
    mask.bias = op::mul(vectors_of(query), scale);
  }
  return output_(
      op::attention({.query = query, .key = key, .value = value, .mask = mask}, heads_, heads_).output);
}

ConformerConv::ConformerConv(const Scope& s, const ConformerConvParameters& p)
    : path_(s.path()),
      first_(pointwise(s / p.first, p.width, 2 * inner_width(p), p.bias != ConformerConvBias::none)),
      depthwise_(depthwise(s / p.depthwise, p)),
      activation_(p.activation),
      second_(pointwise(s / p.second, inner_width(p), p.width, p.bias != ConformerConvBias::none)) {
  if (!p.layer_norm.empty()) {
    layer_norm_.emplace(s / p.layer_norm, inner_width(p), p.eps);
  } else {
    batch_norm_.emplace(s / p.batch_norm, inner_width(p));
  }
}

Value ConformerConv::operator()(Value x, Value padding) const {
  const ModulePath at(x, path_);
  Graph& graph = x.graph();
  x = glu(first_(x), -1);
  if (padding) x = op::masked_fill(x, padding, 0);
  x = depthwise_(op::transpose(x, 1, 2));
  if (batch_norm_) {
    const std::int64_t channels = batch_norm_->scale().shape()[0];
    x = op::mul(x, graph.weight(batch_norm_->scale().reshape({channels, 1})));
    x = op::add(x, graph.weight(batch_norm_->shift().reshape({channels, 1})));
  }
  x = op::transpose(x, 1, 2);
  if (layer_norm_) x = (*layer_norm_)(x);
  return second_(activation_(x));
}

Value ConformerLayer::operator()(Value x, const ConformerContext& shared) const {
  const ModulePath at(x, path);
  x = op::add(op::mul(first(first_norm(x)), 0.5), x);
  x = op::add(attention(attention_norm(x), shared), x);
  x = op::add(convolution(convolution_norm(x), shared.padding), x);
  x = op::add(op::mul(second(second_norm(x)), 0.5), x);
  return norm(x);
}

}  // namespace onnxport::nn
