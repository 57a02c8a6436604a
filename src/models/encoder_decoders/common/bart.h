/// Shared parts of BART and its relatives.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

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

/// text2text_tasks() and text generation, with and without past, and the given ones.
std::vector<std::string> bart_tasks(const std::vector<std::string>& others = {});

/// Registers a type with the first class, and the second one for text generation.
void register_bart_like(TasksManager& tasks, ModelDefinition definition);

struct BartConfig {
  explicit BartConfig(const PretrainedConfig& config);

  std::int64_t vocab_size, decoder_vocab_size, d_model, max_positions;
  std::int64_t encoder_layers, decoder_layers, num_labels;
  nn::Seq2SeqLayerParameters encoder, decoder;
  double encoder_scale, decoder_scale;  ///< of word embeddings
  bool tied;
  std::optional<std::int64_t> pad_token_id, eos_token_id, decoder_start_token_id;
  /// What layernorm_embedding normalizes: nothing, words and positions together, or the words alone.
  enum class EmbeddingNorm { none, of_sum, of_words };
  EmbeddingNorm encoder_embedding = EmbeddingNorm::of_sum, decoder_embedding = EmbeddingNorm::of_sum;
  std::string final_norm = {};  ///< key of the norm after the last layer; empty: it has none
  bool logits_bias = true;      ///< final_logits_bias
  bool one_vocabulary = true;   ///< encoder and decoder share their embeddings

  /// Norms before attention and feed-forward, after the last layer, and none after the embeddings.
  void norm_first();

  /// Rows of a table of tokens. If the decoder has its own vocabulary, transformers 4 still stores vocab_size
  /// rows for it, and version 5 decoder_vocab_size.
  std::int64_t rows_of(const Scope& words) const;

  /// ids [B, S], after a past of this many positions -> [S or B, S, d_model]
  using Positions = std::function<Value(Value ids, const Dim& past)>;
  /// Makes them for the encoder or the decoder with the given scope.
  std::function<Positions(const Scope& side)> positions;
  /// The layers of this number, where they differ from those with the parameters above. attention_mask [B,
  /// S].
  std::function<nn::Seq2SeqEncoderLayer(const Scope& s, std::int64_t number, Value attention_mask)>
      encoder_layer = {};
  std::function<nn::Seq2SeqDecoderLayer(const Scope& s, std::int64_t number)> decoder_layer = {};
  /// The decoder's input ids in classification and question answering: ids [B, S] -> ids [B, S].
  std::function<Value(Value ids)> shift_right;
};

/// A table of learned positions that starts with extra rows. Keys: embed_positions.weight.
std::function<BartConfig::Positions(const Scope&)> learned_positions(const BartConfig& config,
                                                                     std::int64_t extra_rows = 2);
/// Sines and cosines. Keys: embed_positions.weight, computed for a checkpoint without it.
std::function<BartConfig::Positions(const Scope&)> sinusoidal_positions(const BartConfig& config);
/// Sines and cosines at positions that count only real tokens.
std::function<BartConfig::Positions(const Scope&)> counted_positions(const BartConfig& config);
/// For shift_right: decoder_start_token_id moves in front of the ids.
std::function<Value(Value ids)> start_first(const BartConfig& config);

NamedValues forward_bart(const Inputs& inputs, const Model& model, const Component& component,
                         const BartConfig& config);

/// The decoder of such a model with another encoder: keys below model.decoder.
CrossDecoder bart_decoder(std::function<BartConfig(const PretrainedConfig&)> config);

}  // namespace onnxport::models
