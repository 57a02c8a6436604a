/// The parts of encoder-decoders: attention to the encoder, layers, and the tasks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/onnx_config.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// One forward pass of a decoder behind an encoder. Reads what the file has: encoder_hidden_states
/// [B, E, H], encoder_attention_mask [B, E], past_key_values.{i}.encoder.key|value [B, heads, E, head_dim].
class ONNXPORT_API Seq2SeqPass : public DecoderPass {
 public:
  /// A decoder file.
  explicit Seq2SeqPass(const Inputs& inputs);
  /// The decoder of a whole model: its ids are decoder_input_ids, the encoder's states are computed.
  Seq2SeqPass(const Inputs& inputs, Value encoder_states, Value encoder_mask);

  /// [B, E, H]; a decoder with a past may not need it.
  Value encoder_states() const { return encoder_states_; }
  /// Added to the scores of the attention to the encoder: [B, 1, 1, E], or absent.
  Value encoder_mask() const;

  /// Keys and values of the encoder's states as they were given; empty without a past.
  KeyValue cross_past(std::int64_t layer) const;
  void keep_cross(KeyValue present) { cross_presents_.push_back(present); }
  const std::vector<KeyValue>& cross_presents() const { return cross_presents_; }

 private:
  Inputs cross_inputs_;
  Value encoder_states_, encoder_mask_;
  std::vector<KeyValue> cross_presents_;
};

struct CrossAttentionParameters {
  HeadSizes sizes;
  op::AttentionOptions options = {};
  bool bias = true;
  bool key_bias = true;
  std::string query = "q_proj", key = "k_proj", value = "v_proj", output = "out_proj";
};

/// Attention of a decoder to the encoder's states, whose keys and values are computed once and cached.
class ONNXPORT_API CrossAttention {
 public:
  CrossAttention(const Scope& s, const CrossAttentionParameters& p);
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, Seq2SeqPass& pass, std::int64_t layer) const;

 private:
  std::string path_;
  CrossAttentionParameters parameters_;
  Linear query_, key_, value_, output_;
};

struct Seq2SeqLayerParameters {
  std::int64_t hidden_size = 0;
  std::int64_t heads = 0;
  std::int64_t ffn_dim = 0;
  std::string activation = "gelu";
  bool norm_before = false;  ///< norms in front of attention and feed-forward, else behind their sums
  bool key_bias = true;
};

/// Keys: self_attn.{q,k,v,out}_proj, self_attn_layer_norm, fc1, fc2, final_layer_norm.
class ONNXPORT_API Seq2SeqEncoderLayer {
 public:
  Seq2SeqEncoderLayer(const Scope& s, const Seq2SeqLayerParameters& p);
  /// mask: added to scores, or absent
  Value operator()(Value x, Value mask) const;

 private:
  bool norm_before_;
  SelfAttention self_attn_;
  LayerNorm self_attn_layer_norm_;
  Mlp mlp_;
  LayerNorm final_layer_norm_;
};

/// The same with encoder_attn and encoder_attn_layer_norm, unless the decoder stands alone.
class ONNXPORT_API Seq2SeqDecoderLayer {
 public:
  Seq2SeqDecoderLayer(const Scope& s, const Seq2SeqLayerParameters& p, bool alone = false);
  /// mask as in op::attention. `encoder`: the same pass, or null for a decoder that stands alone.
  Value operator()(Value x, DecoderPass& pass, Seq2SeqPass* encoder, std::int64_t layer, Value mask) const;

 private:
  bool norm_before_;
  CausalAttention self_attn_;
  LayerNorm self_attn_layer_norm_;
  std::optional<CrossAttention> encoder_attn_;
  std::optional<LayerNorm> encoder_attn_layer_norm_;
  Mlp mlp_;
  LayerNorm final_layer_norm_;
};

/// feature-extraction and text2text-generation, each with and without past.
ONNXPORT_API std::vector<std::string> text2text_tasks();

/// What differs between encoder-decoders. Functions are called only for the file at hand.
struct Seq2SeqParts {
  /// Inputs of the encoder -> its states [B, E, H]
  std::function<Value(const Inputs&)> encode;
  /// -> hidden states [B, S, H], with one cache per layer kept in the pass
  std::function<Value(Seq2SeqPass&)> decode;
  /// Hidden states -> logits
  std::function<Value(Value)> lm_head;
  bool encoder_mask = true;  ///< the encoder's attention_mask masks the attention to it
};

/// Outputs of one file of the tasks feature-extraction and text2text-generation (and its like), with and
/// without past.
ONNXPORT_API NamedValues build_seq2seq_task(const OnnxConfig& config, const Inputs& inputs,
                                            const Seq2SeqParts& parts);

/// Positions 0, 1, … behind the past, [S].
ONNXPORT_API Value decoder_positions(const DecoderPass& pass);

/// Sines in the first half of each row and cosines in the second, float32 [positions, width]. (Vaswani et al.
/// 2017, as Marian lays them out)
ONNXPORT_API Weight sinusoidal_table(std::int64_t positions, std::int64_t width);

}  // namespace onnxport::nn
