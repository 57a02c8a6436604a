/// Conformer encoders with the keys of wav2vec 2.0: Wav2Vec2-Conformer, W2v-BERT 2.0, SeamlessM4T v2.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/conformer.h"

namespace onnxport::models {

/// Keys of config.json that differ between types.
struct ConformerKeys {
  const char* layers = "num_hidden_layers";
  const char* heads = "num_attention_heads";
  const char* intermediate_size = "intermediate_size";
  const char* activation = "hidden_act";
};

/// Reads hidden_size, those keys, position_embeddings_type with its settings, and conv_depthwise_kernel_size.
/// Throws ExportError(bad_config).
struct ConformerConfig {
  explicit ConformerConfig(const PretrainedConfig& config, const ConformerKeys& keys = {});

  std::int64_t hidden_size, layers, intermediate_size;
  std::string activation;
  double eps = 1e-5;  ///< of the norms in layers
  nn::ConformerAttentionParameters attention;
  nn::ConformerConvParameters convolution;
  std::optional<double> rotary_base;

  /// Attention without positions, with other sizes.
  nn::ConformerAttentionParameters plain_attention(std::int64_t width) const;
  /// A feed-forward. Keys: intermediate_dense, output_dense.
  nn::Mlp feed_forward(const Scope& s, std::int64_t width, const std::string& act) const;
};

/// x [B, L, H] -> all hidden states, starting with x. `mask` [B, L] of 0 and 1: its frames are the only ones
/// that count; or absent. `visible`: further limits of what a frame sees, or absent. Keys: layers.{i}.
std::vector<Value> conformer_states(const Scope& s, const ConformerConfig& c, Value x, Value mask,
                                    Value visible = {});

/// Shortens the encoder's output: two gated convolutions, attention, and a feed-forward.
struct ConformerAdapter {
  std::int64_t width = 0, layers = 0, kernel = 3, stride = 2;
  std::string activation = "relu";

  /// The frames that a layer makes of these: int [B] -> the same.
  Value shorten(Value lengths) const;
  /// x [B, L, width] -> [B, L', width]. Only the first `length` [B] of the new frames are real; absent: all.
  /// Keys: residual_layer_norm, residual_conv, self_attn_layer_norm, self_attn_conv, self_attn,
  /// ffn_layer_norm, ffn.
  Value layer(const Scope& s, const ConformerConfig& c, Value x, Value length) const;
};

/// bool [B, length]: the first `count` [B] are true.
Value first_frames(Value count, const Dim& length);

}  // namespace onnxport::models
