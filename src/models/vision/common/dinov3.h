/// The encoder of DINOv3's Vision Transformers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/vision/common/vit.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotated_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {

/// Throws ExportError(bad_config).
struct Dinov3Config : ViTConfig {
  explicit Dinov3Config(const PretrainedConfig& config);
  nn::ImageTokensParameters tokens() const;
  /// Tokens before those of the patches.
  std::int64_t learned() const { return 1 + num_register_tokens; }
  std::int64_t head_dim() const { return hidden_size / num_attention_heads; }

  bool query_bias, key_bias, value_bias, proj_bias, mlp_bias, use_gated_mlp;
  std::int64_t num_register_tokens;
  double rope_theta;
};

/// Rotates queries and keys [B, tokens, hidden_size] by the rows and columns of their patches, from -1 to 1
/// over an image. The tokens before the patches stay as they are: the learned ones, and `more`. (Siméoni et
/// al. 2025)
nn::Turn dinov3_rotation(Graph& graph, const Dinov3Config& c, const Dim& rows, const Dim& columns,
                         std::int64_t more = 0);

/// Attention and feed-forward with norms before them, and learned scales.
class Dinov3Layer {
 public:
  Dinov3Layer(const Scope& s, const Dinov3Config& c);
  /// x [B, tokens, hidden_size] -> the same
  Value operator()(Value x, const nn::Turn& rotation, const op::AttentionMask& mask = {}) const;

 private:
  Value attend(Value x, const nn::Turn& rotation, const op::AttentionMask& mask) const;

  std::string path_;
  std::int64_t heads_;
  nn::LayerNorm norm1_, norm2_;
  nn::Linear query_, key_, value_, output_;
  nn::FeedForward mlp_;
  Weight scale1_, scale2_;
};

/// Images of any size.
struct Dinov3 {
  nn::ImageTokens embeddings;
  std::vector<Dinov3Layer> layers;
  nn::LayerNorm norm;

  Dinov3(const Scope& s, const Dinov3Config& c);
};

/// pixel_values [B, C, H, W] -> the embeddings and the result of each layer, without the last norm: [B,
/// learned + patches, hidden_size].
std::vector<Value> dinov3_states(const Dinov3& dinov3, const Dinov3Config& c, Value pixel_values);

}  // namespace onnxport::models
