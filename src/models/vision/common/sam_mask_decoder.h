/// The mask decoder of Segment Anything, in parts that its relatives combine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// mask_decoder_config
struct SamDecoderConfig {
  std::int64_t hidden_size, heads, layers, mlp_dim, masks, iou_depth, iou_width;
  std::int64_t cross_rate, final_rate;  ///< divide the channels of attention, in layers and after them
  double eps = 1e-5;                    ///< of the norms in the layers
  std::string output = "out_proj";      ///< of attention
  /// The feed-forward of a layer. Keys below its scope.
  std::function<Value(const Scope& s, const SamDecoderConfig& c, Value x)> mlp;
};

/// That of SAM and SAM-HQ.
SamDecoderConfig sam_decoder_config(const PretrainedConfig& config);
/// That of SAM 2 and its relatives.
SamDecoderConfig sam2_decoder_config(const PretrainedConfig& config);

/// Layers with ReLU between them. Keys: proj_in, layers.{i}, proj_out.
Value sam_feed_forward(const Scope& s, std::int64_t in, std::int64_t inner, std::int64_t out,
                       std::int64_t depth, Value x);

/// Keys: transformer, {iou_token, mask_tokens, …}, upscale_conv1, upscale_layer_norm, upscale_conv2,
/// output_hypernetworks_mlps.{i}.
class SamMaskDecoder {
 public:
  /// An image [B, C, rows, columns] and its positions [B or 1, C, rows, columns], for `points` prompts.
  SamMaskDecoder(const Scope& s, const SamDecoderConfig& c, Value image, Value positions, const Dim& points)
      : s_(s), c_(c), image_(image), positions_(positions), points_(points) {}

  /// Learned tokens, by name and number.
  using OwnTokens = std::vector<std::pair<const char*, std::int64_t>>;
  struct Streams {
    Value tokens;  ///< [B, points, T, C], first the learned ones
    Value pixels;  ///< [B, points, rows * columns, C]
  };
  /// Learned tokens and prompts [B, points, N, C] look at the image, and the image at them.
  Streams transform(const OwnTokens& own, Value prompts) const;

  /// Features of the image at twice and at four times its size, [B, C / 4, …] and [B, C / 8, …], that
  /// upscale() adds; absent: none.
  struct Details {
    Value twice, four_times;
  };
  /// The pixels [B, points or 1, rows * columns, C] of an image of four times the size: [B, points or 1, 16 *
  /// rows * columns, C / 8]. Their order is that of to_images().
  Value upscale(Value pixels, const Details& details = {}) const;
  /// [B, points or 1, 16 * rows * columns, n] -> [B * (points or 1), n, 4 * rows, 4 * columns]
  Value to_images(Value pixels) const;

  /// The masks of tokens [B, points, masks, C]: [B, points, masks, 4 * rows, 4 * columns]. Mask 0 is not
  /// returned by any type, so these are masks 1, 2, ….
  Value masks(Value tokens, Value upscaled) const;
  /// The scores of these masks: [B, points, masks]. `token` [B, points, C].
  Value iou(Value token) const;

 private:
  Value attend(const Scope& s, std::int64_t rate, Value query, Value key, Value value) const;
  Streams layer(const Scope& s, Streams x, const Streams& places, bool first) const;
  Value hypernetworks(Value tokens) const;
  Value in_blocks(Value image, std::int64_t size) const;

  Scope s_;
  const SamDecoderConfig& c_;
  Value image_, positions_;
  Dim points_;
};

}  // namespace onnxport::models
