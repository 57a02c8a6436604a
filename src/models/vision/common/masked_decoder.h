/// Parts of Mask2Former and OneFormer: a decoder of pixels with deformable attention, and layers in which
/// each query looks at the pixels of its own mask.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/vision/common/mask_queries.h"

namespace onnxport::models {

/// The number of sizes at which queries look at the image.
constexpr std::size_t kMaskLevels = 3;

/// A pixel with a logit near zero may be inside of a mask in one computation, and outside in another.
class MaskedOnnxConfig : public MaskQueriesOnnxConfig {
 public:
  using MaskQueriesOnnxConfig::MaskQueriesOnnxConfig;
  double atol_for_validation() const override { return 1e-3; }
};

struct PixelDecoderConfig {
  /// `width`, `mask_width`, `strides`: the keys of three settings. Throws ExportError(bad_config).
  PixelDecoderConfig(const PretrainedConfig& config, const char* width_key, const char* mask_width_key,
                     const char* strides_key);

  std::int64_t width, mask_width, inner, layers, heads;
  std::int64_t finer_levels;  ///< features that the pyramid adds, beside kMaskLevels
  double eps = 1e-5;          ///< of the norms of tokens
};

struct DecodedPixels {
  std::vector<Value> levels;  ///< [B, width, H', W'], kMaskLevels from the smallest to the largest
  Value pixels;               ///< [B, mask_width, H, W], for products with queries
};
/// Images of a backbone, from the largest to the smallest. Keys: input_projections.{i}, level_embed,
/// encoder.layers.{i}, adapter_{i}, layer_{i}, mask_projection.
DecodedPixels decode_pixels(const Scope& s, const PixelDecoderConfig& c, const std::vector<Value>& features);

/// Layers of queries. Members without a value of their own are in the configuration of each type.
struct MaskedLayers {
  std::int64_t width, inner, heads, count;
  std::string activation;
  bool norms_before;  ///< x + part(norm(x)), instead of norm(x + part(x))
  double eps = 1e-5;
  /// Keys of a layer.
  std::string cross = "cross_attn", cross_norm = "cross_attn_layer_norm";
  std::string self = "self_attn", self_norm = "self_attn_layer_norm";
  std::string up = "fc1", down = "fc2", norm = "final_layer_norm";

  /// The states of queries [B or 1, Q, width] after all layers: [B, Q, width]. `asking`: their positions [B
  /// or 1, Q, width]; `masks`: the masks [B, Q, H, W] for states. Keys of `s`: level_embed,
  /// decoder.layers.{i}.
  Value operator()(const Scope& s, const std::vector<Value>& levels, Value queries, Value asking,
                   const std::function<Value(Value)>& masks) const;
};

}  // namespace onnxport::models
