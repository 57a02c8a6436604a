/// What each layer knows of the tokens beside the hidden states (Gemma 3n, Gemma 4).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "onnxport/gguf.h"
#include "onnxport/graph.h"
#include "onnxport/inputs.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// The input or output that holds the vectors of the tokens, where a table of tokens alone makes them and the
/// decoder takes them: [B, S, layers, width], or [B, S, layers * width].
inline constexpr const char* kLayerInputs = "per_layer_inputs";

/// A vector for each layer and token: from a table of its own, and from the embeddings.
class LayerTokens {
 public:
  /// Keys: embed_tokens_per_layer [vocab, layers * width], per_layer_projection_norm, and `projection`.
  /// Without `vocab` there is no table: the vectors come from the embeddings alone.
  LayerTokens(const Scope& s, const Scope& projection, const TextDecoderConfig& c, std::int64_t width,
              std::optional<std::int64_t> vocab);
  /// What the table says: int [B, S] -> [B, S, layers, width]
  Value rows(Value input_ids) const;
  /// The same, or those that the inputs have; gives the output of that name. `known`: ids from here on have
  /// no row of their own, but that of 0.
  Value rows(const Inputs& inputs, nn::DecoderPass& pass, std::optional<std::int64_t> known = {}) const;
  /// Embeddings [B, S, H] and rows(), absent without a table -> [B, S, layers, width]
  Value operator()(Value embedded, Value rows) const;

 private:
  std::int64_t layers_, width_;
  double hidden_size_;
  std::optional<nn::Embedding> table_;
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
