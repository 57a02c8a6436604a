/// The typed config that BERT and its relatives share.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/config.h"
#include "onnxport/export_macro.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport {

/// Reads hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act, layer_norm_eps,
/// max_position_embeddings and vocab_size. Also reads type_vocab_size, position_embedding_type and
/// tie_word_embeddings, if the class has them.
struct ONNXPORT_API TextEncoderConfig {
  explicit TextEncoderConfig(const PretrainedConfig& config);

  std::int64_t vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
  std::int64_t max_position_embeddings, type_vocab_size, num_labels;
  std::string hidden_act;
  std::string position_embedding_type;  ///< absolute, relative_key, relative_key_query
  double layer_norm_eps;
  bool tie_word_embeddings;

  /// Embeddings with the width of the encoder.
  nn::TextEmbeddingsParameters embeddings() const;
  /// A layer with BERT's keys.
  nn::EncoderLayerParameters layer() const;
  /// A masked language model head for hidden states of full width.
  nn::MaskedLmHeadParameters masked_lm_head() const;
};

}  // namespace onnxport
