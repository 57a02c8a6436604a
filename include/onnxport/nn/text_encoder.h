/// The parts of post-norm text encoders (BERT and its relatives).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct TextEmbeddingsParameters {
  std::int64_t vocab_size = 0;
  std::int64_t width = 0;
  std::int64_t max_positions = 0;
  std::int64_t token_types = 0;  ///< 0: the model has none
  double eps = 1e-12;
  bool add_positions = true;  ///< false if attention handles positions
  bool norm = true;           ///< false if the first layer starts with one
};

/// LayerNorm(word + token type + position). Keys: word_embeddings, token_type_embeddings,
/// position_embeddings, LayerNorm.
class ONNXPORT_API TextEmbeddings {
 public:
  TextEmbeddings(const Scope& s, const TextEmbeddingsParameters& p);
  /// input_ids [B, S]; token_type_ids [B, S], absent: zeros; position_ids [B, S], absent: 0, 1, 2, … -> [B,
  /// S, width]
  Value operator()(Value input_ids, Value token_type_ids = {}, Value position_ids = {}) const;
  /// The word embeddings, for a tied output layer.
  const Weight& words() const { return words_.weight(); }

 private:
  std::string path_;
  Embedding words_;
  std::optional<Embedding> types_;
  std::optional<Embedding> positions_;
  std::optional<LayerNorm> norm_;
};

/// Position ids that count only real tokens, computed from the ids: pad tokens get `pad`, the others pad + 1,
/// pad + 2, … int [B, S] -> int64 [B, S]
ONNXPORT_API Value position_ids_from_input_ids(Value input_ids, std::int64_t pad);

struct EncoderLayerParameters {
  SelfAttentionParameters attention;
  std::int64_t intermediate_size = 0;
  std::string activation = "gelu";
  double eps = 1e-12;
  /// Keys below the layer.
  std::string attention_key = "attention";
  std::string attention_norm = "attention.output.LayerNorm";
  std::string up = "intermediate.dense";
  std::string down = "output.dense";
  std::string output_norm = "output.LayerNorm";
};

/// Attention, add, norm, feed-forward, add, norm. (Vaswani et al. 2017)
class ONNXPORT_API PostNormEncoderLayer {
 public:
  PostNormEncoderLayer(const Scope& s, const EncoderLayerParameters& p);
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, const op::AttentionMask& mask) const;

 private:
  std::string path_;
  SelfAttention attention_;
  LayerNorm attention_norm_;
  Linear up_, down_;
  Activation activation_;
  LayerNorm output_norm_;
};

/// Layers `s / 0`, `s / 1`, …
class ONNXPORT_API PostNormEncoder {
 public:
  PostNormEncoder(const Scope& s, std::int64_t layers, const EncoderLayerParameters& p);
  Value operator()(Value x, const op::AttentionMask& mask) const;

 private:
  std::vector<PostNormEncoderLayer> layers_;
};

/// [B, S, H] -> the vector of the first token [B, H].
ONNXPORT_API Value first_token(Value hidden);

/// tanh(dense(first token)): [B, S, H] -> [B, H].
class ONNXPORT_API Pooler {
 public:
  Pooler(const Scope& dense, std::int64_t width) : dense_(dense, width, width) {}
  Value operator()(Value hidden) const;

 private:
  Linear dense_;
};

/// out_proj(activation(dense(first token))): [B, S, H] -> [B, labels]. Keys: dense, out_proj.
class ONNXPORT_API ClassificationHead {
 public:
  ClassificationHead(const Scope& s, std::int64_t width, std::int64_t labels, std::string activation);
  Value operator()(Value hidden) const;

 private:
  Linear dense_, out_proj_;
  Activation activation_;
};

struct MaskedLmHeadParameters {
  std::int64_t in = 0;     ///< width of the hidden states
  std::int64_t width = 0;  ///< width of the word embeddings
  std::int64_t vocab_size = 0;
  std::string activation = "gelu";
  double eps = 1e-12;
  std::string dense = "dense", norm = "layer_norm", decoder = "decoder";
  /// Possible names of the bias. The first that exists is used; without a tie, first that of the decoder.
  std::vector<std::string> bias = {"bias", "decoder.bias"};
};

/// dense, activation, norm, output embedding. `tied`: the word embeddings, or empty if config.json unties
/// them.
class ONNXPORT_API MaskedLmHead {
 public:
  MaskedLmHead(const Scope& s, const MaskedLmHeadParameters& p, const Weight& tied);
  /// [B, S, in] -> logits [B, S, vocab_size]
  Value operator()(Value hidden) const;

 private:
  Linear dense_;
  Activation activation_;
  LayerNorm norm_;
  Linear decoder_;
};

}  // namespace onnxport::nn
