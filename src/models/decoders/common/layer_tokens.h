/// What each layer knows of the tokens beside the hidden states (Gemma 3n, Gemma 4).
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/gguf.h"
#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// A vector for each layer and token: from a table of its own, and from the embeddings.
class LayerTokens {
 public:
  /// Keys: embed_tokens_per_layer [vocab, layers * width], per_layer_projection_norm, and `projection`.
  LayerTokens(const Scope& s, const Scope& projection, const TextDecoderConfig& c, std::int64_t width,
              std::int64_t vocab);
  /// Embeddings [B, S, H] -> [B, S, layers, width]
  Value operator()(Value embedded, Value input_ids) const;

 private:
  std::int64_t layers_, width_;
  double hidden_size_;
  nn::Embedding table_;
  nn::Linear projection_;
  nn::Norm norm_;
};

/// Their tensors and metadata in GGUF files. The norms of such types are stored as they are.
void add_gguf_layer_tokens(GgufLayout& layout);

/// What a layer adds to its result for these vectors.
class AddedTokens {
 public:
  /// Keys: per_layer_input_gate, per_layer_projection, post_per_layer_input_norm.
  AddedTokens(const Scope& s, const TextDecoderConfig& c, std::int64_t width);
  /// x [B, S, H], tokens [B, S, width] -> [B, S, H]
  Value operator()(Value x, Value tokens) const;

 private:
  nn::Linear gate_, projection_;
  nn::Norm norm_;
  nn::Activation activation_;
};

}  // namespace onnxport::models
