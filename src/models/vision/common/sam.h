/// Parts of Segment Anything and its relatives: the image encoder of SAM and SAM-HQ, prompts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/vision/common/sam_mask_decoder.h"

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
  /// The window of a layer; 0: the whole grid.
  std::int64_t window(std::int64_t layer) const;
};

struct SamImage {
  Value embeddings;           ///< [B, output_channels, grid, grid]
  std::vector<Value> global;  ///< results of the layers without windows, [B, grid, grid, hidden_size]
};
/// The image encoder, with attention in windows, for images [B, channels, size, size].
SamImage encode_sam_image(const Scope& s, const SamVisionConfig& c, Value pixel_values);

/// The prompt encoder of SAM and SAM-HQ, whose interface has no masks and no boxes.
struct SamPromptConfig {
  SamPromptConfig(const PretrainedConfig& config, const SamVisionConfig& vision, std::int64_t decoder_width);
  std::int64_t width, image_size;
};

/// The configurations of SAM and SAM-HQ. `vision_type`: the type of vision_config where it does not say.
struct SamConfig {
  SamConfig(const PretrainedConfig& config, const char* vision_type);

  SamVisionConfig vision;
  SamDecoderConfig decoder;
  SamPromptConfig prompts;
};

/// What the decoder gets of an image.
struct SamFeatures {
  SamImage image;
  Value positions;  ///< [B or 1, width, grid, grid]
};
/// Encoded, or, if `component` is the decoder, from its inputs; then there is at most one global layer.
SamFeatures sam_features(const Scope& root, const SamConfig& c, const Inputs& inputs,
                         const Component& component);
/// These as image_embeddings and image_positional_embeddings.
NamedValues sam_encoder_outputs(const SamFeatures& features);

/// Keys that neither reads: masks and boxes as prompts, and a copy of the random frequencies.
std::vector<std::string> sam_ignorable_keys();

/// The decoder's inputs of SAM: points, and with `image` the features of an image.
AxesByName sam_prompts(bool image);

/// The embeddings of the centres of all patches: [1, width, grid, grid]. `s` has the random frequencies:
/// positional_embedding [2, width / 2].
Weight sam_image_positions(const Scope& s, std::int64_t width, std::int64_t grid);
/// The embeddings of pixels [..., 2] of an image: [..., width], in the dtype of the pixels.
Value place_sam_points(const Scope& s, std::int64_t width, std::int64_t image_size, Value points);
/// Replaces the embeddings [B, P, N, C] of points whose label [B, P, N] is -1 (not a point) by `not_a_point`
/// [1, C], and those whose label is -10 (a filler) by zeros.
Value hide_sam_fillers(Value embedded, Value labels, Value not_a_point);

/// input_points [B, P, N, 2] and input_labels [B, P, N] -> [B, P, N + 1, C]. The last one is a padding point.
/// `root`: has shared_image_embedding and prompt_encoder below it.
Value embed_sam_points(const Scope& root, const SamPromptConfig& c, Value points, Value labels);
/// Adds the embedding that stands for no mask to an image [B, C, rows, columns]. Keys of `s`: no_mask_embed.
Value without_mask(const Scope& s, Value image);

}  // namespace onnxport::models
