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
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// One forward pass of the decoder of an encoder-decoder. It reads the inputs that the file has:
/// encoder_hidden_states [B, E, H], encoder_attention_mask [B, E], and the states of its layers. The parts
/// encoder.key and encoder.value are [B, heads, E, head_dim].
class ONNXPORT_API Seq2SeqPass : public DecoderPass {
 public:
  /// A decoder file with these states.
  Seq2SeqPass(const Inputs& inputs, std::vector<StateSpec> states);
  /// The decoder of a whole model: its ids are decoder_input_ids, and the encoder's states are computed.
  /// `states`: those that the component returns.
  Seq2SeqPass(const Inputs& inputs, Value encoder_states, Value encoder_mask,
              std::vector<StateSpec> states = {});

  /// [B, E, H]. A decoder that takes keys and values of the encoder's states does not need it, so the value
  /// may then be absent.
  Value encoder_states() const { return encoder_states_; }
  /// The mask as an input: [B, E] unless the architecture defines another shape, or absent.
  Value encoder_attention_mask() const { return encoder_mask_; }
  /// The mask of the encoder's states, for attention.
  op::AttentionMask encoder_mask() const { return padding_mask(encoder_mask_); }
  /// For steps between encoder and decoder: replaces the states, or the mask [B, E].
  void set_encoder_states(Value states) { encoder_states_ = states; }
  void set_encoder_attention_mask(Value mask) { encoder_mask_ = mask; }

  /// Keys and values of the encoder's states from the inputs; absent without a past.
  KeyValue cross_past(std::int64_t layer) const;
  void keep_cross(std::int64_t layer, const KeyValue& present);

 private:
  Value encoder_states_, encoder_mask_;
};

struct CrossAttentionParameters {
  HeadSizes sizes;
  op::AttentionOptions options = {};
  /// Width of the encoder's states; absent: that of the decoder.
  std::optional<std::int64_t> encoder_width = {};
  bool bias = true;
  bool key_bias = true;
  std::string query = "q_proj", key = "k_proj", value = "v_proj", output = "out_proj";
};

/// Attention of a decoder to the encoder's states, whose keys and values are computed once and cached. Gives
/// the pass cross_attentions.{layer}.
class ONNXPORT_API CrossAttention {
 public:
  CrossAttention(const Scope& s, const CrossAttentionParameters& p);
  /// With given projections. `key_value` has two, or one whose rows are all keys followed by all values.
  CrossAttention(std::string path, std::int64_t heads, op::AttentionOptions options, Linear query,
                 std::vector<Linear> key_value, Linear output);
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, Seq2SeqPass& pass, std::int64_t layer) const;

 private:
  KeyValue project(Value states) const;

  std::string path_;
  std::int64_t heads_;
  op::AttentionOptions options_;
  Linear query_;
  std::vector<Linear> key_value_;
  Linear output_;
};

/// Keys of a layer that differ between architectures.
struct Seq2SeqLayerNames {
  std::string encoder_attention = "encoder_attn";  ///< its norm ends with _layer_norm
  std::string feed_forward_norm = "final_layer_norm";
};

struct Seq2SeqLayerParameters {
  std::int64_t hidden_size = 0;
  std::int64_t heads = 0;
  std::int64_t ffn_dim = 0;
  std::string activation = "gelu";
  bool norm_before = false;  ///< norms before attention and feed-forward; false: after their residuals
  /// Of all attention. In a decoder, `none` leaves out that of the output, too.
  QkvBias bias = QkvBias::all;
  /// For a decoder: width of the encoder's states; absent: hidden_size.
  std::optional<std::int64_t> encoder_width = {};
  /// For a decoder: which of its own tokens it sees; absent: all up to a token's own.
  LayerMask mask = {};
  /// In place of fc1 and fc2.
  FeedForward feed_forward = {};
  Seq2SeqLayerNames names = {};
};

/// Keys: self_attn.{q,k,v,out}_proj, self_attn_layer_norm, fc1, fc2, final_layer_norm, unless the parameters
/// have others.
class ONNXPORT_API Seq2SeqEncoderLayer {
 public:
  /// x [B, S, H] -> [B, S, H]
  using Attention = std::function<Value(Value x, const op::AttentionMask& mask)>;
  Seq2SeqEncoderLayer(const Scope& s, const Seq2SeqLayerParameters& p);
  /// With another self-attention.
  Seq2SeqEncoderLayer(const Scope& s, const Seq2SeqLayerParameters& p, Attention attention);
  Value operator()(Value x, const op::AttentionMask& mask) const;

 private:
  bool norm_before_;
  Attention self_attn_;
  LayerNorm self_attn_layer_norm_;
  FeedForward mlp_;
  LayerNorm final_layer_norm_;
};

/// The same with encoder_attn and encoder_attn_layer_norm, unless the decoder is standalone (`alone`).
class ONNXPORT_API Seq2SeqDecoderLayer {
 public:
  Seq2SeqDecoderLayer(const Scope& s, std::int64_t layer, const Seq2SeqLayerParameters& p,
                      bool alone = false);
  /// `encoder`: the same pass, or null for a standalone decoder.
  Value operator()(Value x, DecoderPass& pass, Seq2SeqPass* encoder) const;
  /// The block of a standalone decoder.
  Value operator()(Value x, DecoderPass& pass) const { return (*this)(x, pass, nullptr); }

 private:
  std::int64_t layer_;
  bool norm_before_;
  CausalAttention self_attn_;
  LayerNorm self_attn_layer_norm_;
  std::optional<CrossAttention> encoder_attn_;
  std::optional<LayerNorm> encoder_attn_layer_norm_;
  FeedForward mlp_;
  LayerNorm final_layer_norm_;
};

/// A PostNormEncoder whose layers see only earlier tokens and, between attention and feed-forward, attend to
/// an encoder's states. It keeps no cache. Layers `s / 0`, `s / 1`, …. The keys are those of the encoder
/// layer; cross attention has the keys of the attention below `crossattention`.
class ONNXPORT_API PostNormDecoder {
 public:
  /// Throws ExportError(unsupported) for positions in the scores.
  PostNormDecoder(const Scope& s, std::int64_t layers, const EncoderLayerParameters& p);
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, Seq2SeqPass& pass) const;

 private:
  struct Layer {
    std::string path;
    SelfAttention attention;
    LayerNorm attention_norm;
    CrossAttention cross;
    LayerNorm cross_norm;
    Mlp mlp;
    LayerNorm output_norm;
  };
  std::vector<Layer> layers_;
};

/// feature-extraction and text2text-generation, each with and without past.
ONNXPORT_API std::vector<std::string> text2text_tasks();

/// The differences between encoder-decoders. A function is called only if the component needs it.
struct Seq2SeqParts {
  /// Inputs of the encoder -> its states [B, E, H]
  std::function<Value(const Inputs&)> encode;
  /// -> hidden states [B, S, H], with the states of each layer kept in the pass
  std::function<Value(Seq2SeqPass&)> decode;
  /// Hidden states -> logits
  std::function<Value(Value)> lm_head;
  bool encoder_mask = true;  ///< attention to the encoder uses the encoder's attention_mask
};

/// Outputs of one component (its part `encoder` or `decoder`, or the whole), for the tasks
/// feature-extraction, text2text-generation and similar ones, with and without past. An encoder whose
/// interface lists states returns the keys and values of its own states, as the decoder's layers compute
/// them.
ONNXPORT_API NamedValues build_seq2seq_task(const Component& component, const Inputs& inputs,
                                            const Seq2SeqParts& parts);

/// Positions P, P + 1, … after a past of P, [S].
ONNXPORT_API Value decoder_positions(const DecoderPass& pass);

/// Sinusoidal positions that count only real tokens: tokens other than `pad` are at pad + 1, pad + 2, …, and
/// `pad` tokens get a row of zeros. The first half of a row has sines, the second half cosines, with the
/// frequencies of tensor2tensor. The table is computed; tensors that checkpoints store below the scope
/// (`weights`, a marker of the dtype) are ignored.
class ONNXPORT_API SinusoidalPositions {
 public:
  /// Throws ExportError(bad_config) for a width below 4, which has no frequencies.
  SinusoidalPositions(const Scope& s, std::int64_t rows, std::int64_t width, std::int64_t pad);
  /// The same positions with another table [rows, width].
  SinusoidalPositions(std::string path, Weight table, std::int64_t pad);
  /// The rows of these numbers: int [...] -> [..., width]
  Value rows(Value indices) const;
  /// ids int [B, S], after `past` positions that are all real -> [B, S, width]
  Value operator()(Value ids, const Dim& past = 0) const;

 private:
  std::string path_;
  Weight table_;
  std::int64_t pad_;
};

/// Sines in the first half of each row and cosines in the second, float32 [positions, width]. (Vaswani et al.
/// 2017, in Marian's layout)
ONNXPORT_API Weight sinusoidal_table(std::int64_t positions, std::int64_t width);

}  // namespace onnxport::nn
