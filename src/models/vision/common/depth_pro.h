/// The encoders of Depth Pro: one for the whole image, and one for the patches of several sizes of it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "models/vision/common/dinov2.h"
#include "models/vision/common/dpt_neck.h"

namespace onnxport::models {

/// Throws ExportError(bad_config | unsupported).
struct DepthProConfig {
  explicit DepthProConfig(const PretrainedConfig& config);

  /// A size of the image, from the smallest to the largest.
  struct Scale {
    double ratio;
    std::int64_t stride;    ///< between patches
    std::int64_t features;  ///< channels behind the encoder
  };
  /// A layer of the patch encoder whose result is used.
  struct Hook {
    std::int64_t layer, features;
  };

  std::int64_t fusion_hidden_size, patch_size, merge_padding_value, num_fov_head_layers;
  std::vector<Scale> scales;
  std::vector<Hook> hooks;
  DptUnit unit;
  Dinov2Config image, patch;
  std::optional<Dinov2Config> fov;
  std::int64_t image_size;  ///< whose smallest scale is one patch
  std::int64_t base;        ///< side of the smallest features

  /// Side of the grid of an encoder.
  std::int64_t out_size() const { return image.grid.height; }
  /// Side of the image at a scale, and the number of its patches.
  std::int64_t side(const Scale& scale) const;
  std::int64_t patches(const Scale& scale) const;
};

/// The hidden states [B, 1 + patches, hidden_size] of each layer of an encoder, for images of any size, which
/// are resized; the last ones with the norm. The first ones are the embeddings.
std::vector<Value> depth_pro_tokens(const Scope& s, const Dinov2Config& c, Value images);

/// Tokens behind a class token as images of the given size.
Value depth_pro_image(Value tokens, std::int64_t rows, std::int64_t columns);

/// The features of the image, of each scale, and of each hook: [B, hidden_size, H, W].
std::vector<Value> depth_pro_features(const Scope& s, const DepthProConfig& c, Value pixel_values);

}  // namespace onnxport::models
