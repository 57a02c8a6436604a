/// Parts of Segment Anything: image encoder, prompt encoder, mask decoder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// vision_config
struct SamVisionConfig {
  explicit SamVisionConfig(const PretrainedConfig& config);

  std::int64_t hidden_size, heads, layers, channels, image_size, patch_size, window_size, num_pos_feats;
  std::int64_t output_channels, mlp_dim;
  std::vector<std::int64_t> global_layers;
  std::string hidden_act;
  double eps;
  bool qkv_bias;
  bool absolute, relative;  ///< which positions the encoder has

  std::int64_t grid() const { return image_size / patch_size; }
  std::int64_t head_dim() const { return hidden_size / heads; }
};

/// The image encoder, with attention in windows: [B, channels, size, size] -> [B, output_channels, grid,
/// grid].
Value encode_sam_image(const Scope& s, const SamVisionConfig& c, Value pixel_values);

/// The embeddings of the centres of all patches: [1, 2 * num_pos_feats, grid, grid]. `root`: has
/// shared_image_embedding below it.
Weight sam_image_positions(const Scope& root, const SamVisionConfig& c);

/// The prompt encoder for points: input_points [B, P, N, 2] and input_labels [B, P, N] -> [B, P, N + 1, C].
/// The last one is a padding point. `root`: has shared_image_embedding and prompt_encoder below it.
Value embed_sam_points(const Scope& root, const SamVisionConfig& c, Value points, Value labels);

/// mask_decoder_config
struct SamDecoderConfig {
  explicit SamDecoderConfig(const PretrainedConfig& config);

  std::int64_t hidden_size, heads, layers, mlp_dim, rate, masks, iou_depth, iou_width;
  std::string hidden_act;
  double eps;
};

/// Images and their positions [B or 1, C, rows, columns], P prompts for each image [B, P, N, C] -> iou_scores
/// [B, P, masks], pred_masks [B, P, masks, 4 * rows, 4 * columns].
NamedValues decode_masks(const Scope& s, const SamDecoderConfig& c, Value image, Value positions,
                         Value prompts);

/// lin2(activation(lin1(x)))
Value sam_mlp(const Scope& s, std::int64_t width, std::int64_t inner, const std::string& activation, Value x);

}  // namespace onnxport::models
