/// The encoder of DINOv2, which is a backbone of others too.
#pragma once

#include <vector>

#include "models/vit.h"

namespace onnxport::models {

struct Dinov2Config : ViTConfig {
  explicit Dinov2Config(const PretrainedConfig& config);
  nn::EncoderLayerParameters layer() const;
  bool gated;  ///< feed-forward with a gate
};

/// Images of any size: positions are resampled.
struct Dinov2 {
  nn::ImageTokens embeddings;
  nn::PreNormEncoder encoder;
  nn::LayerNorm norm;

  Dinov2(const Scope& s, const Dinov2Config& c);
  /// pixel_values [B, C, H, W] -> the embeddings and what each layer gives, without the last norm: [B, 1 +
  /// patches, hidden_size].
  std::vector<Value> states(Value pixel_values) const;
};

}  // namespace onnxport::models
