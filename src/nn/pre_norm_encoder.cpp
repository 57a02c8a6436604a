#include "onnxport/nn/pre_norm_encoder.h"

#include "onnxport/op.h"

namespace onnxport::nn {

PreNormEncoderLayer::PreNormEncoderLayer(const Scope& s, const EncoderLayerParameters& p)
    : path_(s.path()),
      attention_norm_(s / p.attention_norm, p.attention.hidden_size, p.eps),
      attention_(s / p.attention_key, p.attention),
      output_norm_(s / p.output_norm, p.attention.hidden_size, p.eps),
      up_(s / p.up, p.attention.hidden_size, p.intermediate_size),
      down_(s / p.down, p.intermediate_size, p.attention.hidden_size),
      activation_(p.activation) {}

Value PreNormEncoderLayer::operator()(Value x, Value mask) const {
  const ModulePath at(x, path_);
  x = op::add(attention_(attention_norm_(x), mask), x);
  const Value wide = activation_(up_(output_norm_(x)));
  return op::add(down_(wide), x);
}

PreNormEncoder::PreNormEncoder(const Scope& s, std::int64_t layers, const EncoderLayerParameters& p) {
  for (std::int64_t i = 0; i < layers; ++i) layers_.emplace_back(s / i, p);
}

Value PreNormEncoder::operator()(Value x, Value mask) const {
  for (const PreNormEncoderLayer& layer : layers_) x = layer(x, mask);
  return x;
}

}  // namespace onnxport::nn
