/// Feature maps of several sizes as one sequence of tokens, which deformable attention reads: Deformable
/// DETR, Grounding DINO.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/vision/common/image_positions.h"
#include "onnxport/nn/deformable_attention.h"

namespace onnxport::models {

struct FeatureLevelParameters {
  std::int64_t width = 0;
  std::int64_t levels = 0;
  ImagePositions positions;
  std::string projection = "input_proj";
  /// Absent: all positions are the same for all maps.
  std::string embedding = "level_embed";
};

struct FeatureLevels {
  Value tokens;     ///< the pixels of all maps, [B, S, width]
  Value positions;  ///< [1 or B, S, width]
  std::vector<nn::MapSize> sizes;
  /// Where images have a mask; absent: all pixels are real.
  Value seen = {};    ///< bool [B, S]
  Value ratios = {};  ///< float32 [B, levels, 2]: the real part of each map's width and height
};

/// Projects the features of a backbone, and makes more levels from the last one with convolutions. Keys:
/// `projection`.{i}.{0, 1}, `embedding` [levels, width]. Throws ExportError(bad_config) for more features
/// than levels, or a width that does not have 32 groups.
FeatureLevels feature_levels(const Scope& s, const FeatureLevelParameters& p, std::vector<Value> features,
                             Value pixel_mask);

/// One map [B, width, H, W], as it is and without positions.
FeatureLevels feature_level(Value image, Value pixel_mask);

/// Where each pixel is, as a reference of deformable attention: float32 [1 or B, S, 1 or levels, 2].
Value pixel_references(const FeatureLevels& maps);
/// References of queries, [1 or B, Q, 2 or 4], for each level: [1 or B, Q, 1 or levels, 2 or 4].
Value level_references(const FeatureLevels& maps, Value boxes);

struct DeformableLayerParameters {
  nn::DeformableParameters attention;
  std::int64_t inner = 0;  ///< of the feed-forward network
  std::string activation;
  double eps = 1e-5;
};
/// Deformable attention among the pixels x [B, S, width], and a feed-forward network. Keys: self_attn,
/// self_attn_layer_norm, fc1, fc2, final_layer_norm.
Value deformable_layer(const Scope& s, const DeformableLayerParameters& p, Value x, const FeatureLevels& maps,
                       Value references);

/// Boxes around the pixels, as a first stage proposes them.
struct PixelBoxes {
  Value logits;  ///< float32 [1 or B, S, 4]: before the sigmoid; infinity where invalid
  Value valid;   ///< bool [1 or B, S, 1]
};
PixelBoxes pixel_boxes(const FeatureLevels& maps);

}  // namespace onnxport::models
