#include "models/decoders/common/layer_tokens.h"

#include <cmath>
#include <numbers>

#include "onnxport/error.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/op.h"

namespace onnxport::models {

LayerTokens::LayerTokens(const Scope& s, const Scope& projection, const TextDecoderConfig& c,
                         std::int64_t width, std::optional<std::int64_t> vocab)
    : layers_(c.num_hidden_layers),
      width_(width),
      hidden_size_(static_cast<double>(c.hidden_size)),
      projection_(projection, c.hidden_size, layers_ * width, false),
      norm_(c.norm(s / "per_layer_projection_norm", width)) {
  if (vocab) table_.emplace(s / "embed_tokens_per_layer", *vocab, layers_ * width);
}

Value LayerTokens::rows(Value input_ids) const {
  const Value own = op::mul((*table_)(input_ids), std::sqrt(static_cast<double>(width_)));
  return op::reshape(own, {input_ids.dim(0), input_ids.dim(1), layers_, width_});
}

Value LayerTokens::rows(const Inputs& inputs, nn::DecoderPass& pass,
                        std::optional<std::int64_t> known) const {
  if (const Value given = inputs.get(kLayerInputs))
    return op::reshape(given, {given.dim(0), given.dim(1), layers_, width_});
  if (!inputs.has("input_ids")) {
    throw ExportError(ErrorCode::unsupported,
                      "the layers of the language model look at the tokens (hidden_size_per_layer_input), "
                      "which the model around it does not hand over; expected a type without such layers");
  }
  Value ids = pass.input_ids();
  if (known && pass.wants(kLayerInputs)) {
    const Value unknown = op::ge(ids, op::scalar(ids.graph(), static_cast<double>(*known), DType::i64));
    ids = op::masked_fill(ids, unknown, 0);
  }
  const Value made = rows(ids);
  pass.give(kLayerInputs, made);
  return made;
}

Value LayerTokens::operator()(Value embedded, Value rows) const {
  const Shape shape = {embedded.dim(0), embedded.dim(1), layers_, width_};
  const Value projected = op::mul(projection_(embedded), 1 / std::sqrt(hidden_size_));
  Value context = norm_(op::reshape(projected, shape));
  if (!rows) return context;
  return op::div(op::add(context, rows), std::numbers::sqrt2);
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
