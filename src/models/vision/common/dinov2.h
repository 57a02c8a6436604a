/// The encoder of DINOv2, with and without registers.
#pragma once

#include <cstdint>
#include <vector>

#include "models/vision/common/vit.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {

/// The type, as far as the configuration does not say.
struct Dinov2Variant {
  const char* base_model = "dinov2";
  bool registers = false;  ///< learned tokens behind the class token; positions are resampled with antialias
};

struct Dinov2Config : ViTConfig {
  Dinov2Config(const PretrainedConfig& config, const Dinov2Variant& variant);
  nn::EncoderLayerParameters layer() const;
  nn::ImageTokensParameters tokens() const;
  /// Tokens before those of the patches.
  std::int64_t learned() const { return 1 + num_register_tokens; }

  bool gated;  ///< feed-forward with a gate
  std::int64_t num_register_tokens = 0;
  const char* resampling = "cubic";
};

/// Images of any size: positions are resampled.
struct Dinov2 {
  nn::ImageTokens embeddings;
  nn::PreNormEncoder encoder;
  nn::LayerNorm norm;

  Dinov2(const Scope& s, const Dinov2Config& c);
  /// pixel_values [B, C, H, W] -> the embeddings and the result of each layer, without the last norm: [B,
  /// learned + patches, hidden_size].
  std::vector<Value> states(Value pixel_values) const;
};

/// The definition of a type: its tasks and its role as a backbone.
ModelDefinition dinov2_definition(const char* model_type, const Dinov2Variant& variant);

}  // namespace onnxport::models
