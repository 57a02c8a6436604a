#include "onnxport/nn/text_encoder.h"

#include <algorithm>

#include "onnxport/op.h"

namespace onnxport::nn {

TextEmbeddings::TextEmbeddings(const Scope& s, const TextEmbeddingsParameters& p)
    : path_(s.path()), words_(s / "word_embeddings", p.vocab_size, p.width) {
  if (p.norm) norm_.emplace(s / "LayerNorm", p.width, p.eps);
  if (p.token_types > 0) types_.emplace(s / "token_type_embeddings", p.token_types, p.width);
  if (p.add_positions) {
    positions_.emplace(s / "position_embeddings", p.max_positions, p.width);
  } else {
    s.ignore("position_embeddings");
  }
  s.ignore("position_ids");  // buffers of old checkpoints
  s.ignore("token_type_ids");
}

Value TextEmbeddings::operator()(Value input_ids, Value token_type_ids, Value position_ids) const {
  const ModulePath at(input_ids, path_);
  Graph& graph = input_ids.graph();
  Value sum = words_(input_ids);
  if (types_) {
    const Value types = token_type_ids ? (*types_)(token_type_ids) : types_->first(graph, 1);
    sum = op::add(sum, types);
  }
  if (positions_) {
    const Value positions =
        position_ids ? (*positions_)(position_ids) : positions_->first(graph, input_ids.dim(1));
    sum = op::add(sum, positions);
  }
  return norm_ ? (*norm_)(sum) : sum;
}

Value position_ids_from_input_ids(Value input_ids, std::int64_t pad) {
  const auto padding = static_cast<double>(pad);
  const Value real = op::cast(op::ne(input_ids, padding), DType::i64);
  const Value counted = op::mul(op::cumsum(real, 1), real);
  return op::add(counted, padding);
}

PostNormEncoderLayer::PostNormEncoderLayer(const Scope& s, const EncoderLayerParameters& p)
    : path_(s.path()),
      attention_(s / p.attention_key, p.attention),
      attention_norm_(s / p.attention_norm, p.attention.hidden_size, p.eps),
      up_(s / p.up, p.attention.hidden_size, p.intermediate_size),
      down_(s / p.down, p.intermediate_size, p.attention.hidden_size),
      activation_(p.activation),
      output_norm_(s / p.output_norm, p.attention.hidden_size, p.eps) {}

Value PostNormEncoderLayer::operator()(Value x, const op::AttentionMask& mask) const {
  const ModulePath at(x, path_);
  const Value attended = attention_norm_(op::add(attention_(x, mask), x));
  const Value wide = activation_(up_(attended));
  return output_norm_(op::add(down_(wide), attended));
}

PostNormEncoder::PostNormEncoder(const Scope& s, std::int64_t layers, const EncoderLayerParameters& p) {
  for (std::int64_t i = 0; i < layers; ++i) layers_.emplace_back(s / i, p);
}

Value PostNormEncoder::operator()(Value x, const op::AttentionMask& mask) const {
  for (const PostNormEncoderLayer& layer : layers_) x = layer(x, mask);
  return x;
}

Value first_token(Value hidden) { return op::select(hidden, 1, 0); }

Value Pooler::operator()(Value hidden) const { return op::tanh(dense_(first_token(hidden))); }

ClassificationHead::ClassificationHead(const Scope& s, std::int64_t width, std::int64_t labels,
                                       std::string activation)
    : dense_(s / "dense", width, width),
      out_proj_(s / "out_proj", width, labels),
      activation_(std::move(activation)) {}

Value ClassificationHead::operator()(Value hidden) const {
  return out_proj_(activation_(dense_(first_token(hidden))));
}

namespace {

Linear output_embedding(const Scope& s, const MaskedLmHeadParameters& p, const Weight& tied) {
  const Weight weight = tied ? tied : s.weight(p.decoder + ".weight", {p.vocab_size, p.width});
  // A layer of its own has a bias of its own, where both are stored.
  std::vector<std::string> names = p.bias;
  if (!tied) {
    std::stable_partition(names.begin(), names.end(),
                          [&](const std::string& name) { return name.starts_with(p.decoder); });
  }
  const auto stored =
      std::find_if(names.begin(), names.end(), [&](const std::string& name) { return s.has(name); });
  const Weight bias = s.weight(stored == names.end() ? p.bias.front() : *stored, {p.vocab_size});
  s.ignore(p.decoder);  // a copy of what is tied
  for (const std::string& name : p.bias) s.ignore(name);
  return {(s / p.decoder).path(), weight, bias};
}

}  // namespace

MaskedLmHead::MaskedLmHead(const Scope& s, const MaskedLmHeadParameters& p, const Weight& tied)
    : dense_(s / p.dense, p.in, p.width),
      activation_(p.activation),
      norm_(s / p.norm, p.width, p.eps),
      decoder_(output_embedding(s, p, tied)) {}

Value MaskedLmHead::operator()(Value hidden) const { return decoder_(norm_(activation_(dense_(hidden)))); }

}  // namespace onnxport::nn
