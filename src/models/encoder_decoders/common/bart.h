/// Shared parts of BART and its relatives.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "models/common/definition.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {

/// A whole BART-like model. Its decoder alone is a language model.
class BartOnnxConfig : public TextSeq2SeqOnnxConfig {
 public:
  using TextSeq2SeqOnnxConfig::TextSeq2SeqOnnxConfig;
};

class BartDecoderOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  NormalizedConfig normalized_config() const override { return NormalizedSeq2SeqConfig(config()); }
};

/// Registers a type with the first class, and the second one for text generation.
void register_bart_like(TasksManager& tasks, ModelDefinition definition);

struct BartConfig {
  explicit BartConfig(const PretrainedConfig& config);

  std::int64_t vocab_size, decoder_vocab_size, d_model, max_positions;
  std::int64_t encoder_layers, decoder_layers, num_labels;
  nn::Seq2SeqLayerParameters encoder, decoder;
  double embedding_scale;
  bool tied;
  std::optional<std::int64_t> pad_token_id, eos_token_id, decoder_start_token_id;
  bool embedding_norm = true;  ///< layernorm_embedding
  bool final_norm = false;     ///< layer_norm after the last layer
  bool logits_bias = true;     ///< final_logits_bias
  bool one_vocabulary = true;  ///< encoder and decoder share their embeddings

  /// Rows of a table of tokens. If the decoder has its own vocabulary, transformers 4 still stores vocab_size
  /// rows for it, and version 5 decoder_vocab_size.
  std::int64_t rows_of(const Scope& words) const;

  /// ids [B, S], after a past of this many positions -> [S or B, S, d_model]
  using Positions = std::function<Value(Value ids, const Dim& past)>;
  /// Makes them for the encoder or the decoder with the given scope.
  std::function<Positions(const Scope& side)> positions;
  /// The decoder's input ids in classification and question answering: ids [B, S] -> ids [B, S].
  std::function<Value(Value ids)> shift_right;
};

/// A table of learned positions that starts with two extra rows. Keys: embed_positions.weight.
std::function<BartConfig::Positions(const Scope&)> learned_positions(const BartConfig& config);

NamedValues forward_bart(const Inputs& inputs, const Model& model, const Component& component,
                         const BartConfig& config);

/// The decoder of such a model with another encoder: keys below model.decoder.
CrossDecoder bart_decoder(std::function<BartConfig(const PretrainedConfig&)> config);

}  // namespace onnxport::models
