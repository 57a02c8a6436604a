#include "models/decoders/common/layer_tokens.h"

#include <cmath>
#include <numbers>

#include "onnxport/op.h"

namespace onnxport::models {

LayerTokens::LayerTokens(const Scope& s, const Scope& projection, const TextDecoderConfig& c,
                         std::int64_t width, std::int64_t vocab)
    : layers_(c.num_hidden_layers),
      width_(width),
      hidden_size_(static_cast<double>(c.hidden_size)),
      table_(s / "embed_tokens_per_layer", vocab, layers_ * width),
      projection_(projection, c.hidden_size, layers_ * width, false),
      norm_(c.norm(s / "per_layer_projection_norm", width)) {}

Value LayerTokens::operator()(Value embedded, Value input_ids) const {
  const Shape shape = {embedded.dim(0), embedded.dim(1), layers_, width_};
  const Value projected = op::mul(projection_(embedded), 1 / std::sqrt(hidden_size_));
  const Value context = norm_(op::reshape(projected, shape));
  const Value own = op::mul(table_(input_ids), std::sqrt(static_cast<double>(width_)));
  return op::div(op::add(context, op::reshape(own, shape)), std::numbers::sqrt2);
}

AddedTokens::AddedTokens(const Scope& s, const TextDecoderConfig& c, std::int64_t width)
    : gate_(s / "per_layer_input_gate", c.hidden_size, width, false),
      projection_(s / "per_layer_projection", width, c.hidden_size, false),
      norm_(c.norm(s / "post_per_layer_input_norm")),
      activation_(c.hidden_act) {}

Value AddedTokens::operator()(Value x, Value tokens) const {
  const Value gate = activation_(gate_(x));
  return norm_(projection_(op::mul(gate, tokens)));
}

}  // namespace onnxport::models
