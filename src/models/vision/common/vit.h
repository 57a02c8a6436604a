/// Shared parts of the Vision Transformer and its relatives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {

/// Reads hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act, layer_norm_eps
/// and qkv_bias, if a class has them.
struct ViTEncoderConfig {
  explicit ViTEncoderConfig(const PretrainedConfig& config);

  std::int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, num_labels;
  double layer_norm_eps;
  std::string hidden_act;
  bool qkv_bias;

  nn::EncoderLayerParameters layer() const;
};

/// Also image_size, patch_size and num_channels.
struct ViTConfig : ViTEncoderConfig {
  explicit ViTConfig(const PretrainedConfig& config);

  std::int64_t num_channels;
  nn::KernelSize image, patch, grid;  ///< in pixels, in pixels, in patches

  nn::ImageTokensParameters tokens() const;
};

/// A number of learned tokens. Throws ExportError(bad_config) if it is negative or very large.
std::int64_t learned_tokens(const PretrainedConfig& config, const char* key);

/// Images of one size, image_size, because there are no positions for others.
class ViTOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

/// The key names of these types in transformers 5.
KeyNames vit_key_names();

/// The encoder of a Vision Transformer: pixel_values [B, C, H, W] -> last_hidden_state [B, 1 + patches,
/// hidden_size]. `learned`: the tokens before the patches.
Value encode_vit(const Scope& s, const PretrainedConfig& config, Value pixel_values,
                 std::vector<nn::LearnedTokens> learned = {{"cls_token"}});

/// The same for a DeiT -> [B, 2 + patches, hidden_size].
Value encode_deit(const Scope& s, const PretrainedConfig& config, Value pixel_values);

/// The head of masked-im: hidden states of the patches -> reconstruction [B, C, H, W]. Keys: decoder.0.
Value reconstruct_image(const Scope& root, const PretrainedConfig& config, Value patches);

}  // namespace onnxport::models
