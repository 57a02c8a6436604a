/// Parts of diffusion transformers: latents as tokens and back, positions on a grid, and modulations that all
/// blocks share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Latents as tokens, one for each square of `patch` by `patch`. Keys: proj [width, channels, patch, patch].
/// (diffusers.models.embeddings.PatchEmbed)
class ONNXPORT_API LatentPatches {
 public:
  LatentPatches(const Scope& s, std::int64_t channels, std::int64_t patch, std::int64_t width);
  /// [B, channels, H, W] -> [B, rows * columns, width], row by row
  Value operator()(Value latents) const;
  Dim rows(Value latents) const { return latents.dim(2).floor_div(patch_); }
  Dim columns(Value latents) const { return latents.dim(3).floor_div(patch_); }

 private:
  std::int64_t patch_, width_;
  Conv2d project_;
};

/// The way back: [B, rows * columns, patch * patch * channels] -> [B, channels, rows * patch, columns *
/// patch].
ONNXPORT_API Value assemble_patches(Value tokens, const Dim& rows, const Dim& columns, std::int64_t patch);

/// Sines and cosines of the columns, then of the rows, of a grid that is stretched to that of the
/// training: [rows * columns, width]. `base`: from grid_base(). (diffusers.models.embeddings.
/// get_2d_sincos_pos_embed)
ONNXPORT_API Value grid_sinusoids(Graph& graph, const Dim& rows, const Dim& columns, std::int64_t width,
                                  double base);

/// The side of the training's grid, divided by the scale of interpolation. Throws
/// ExportError(bad_config) for a scale that is not positive, and a width that is no multiple of 4.
ONNXPORT_API double grid_base(std::int64_t side, double scale, std::int64_t width, std::string_view origin);

/// The rotation of tokens that have a position on each of several axes [B or 1, L, axes]: axis a turns
/// sizes[a] elements of a head, in neighbouring pairs, by theta^(-2 i / sizes[a]). (Su et al. 2021)
ONNXPORT_API op::Rope axes_rope(Value positions, const std::vector<std::int64_t>& sizes, double theta);

/// Throws ExportError(bad_config) unless these sizes are even and add up to the size of a head.
ONNXPORT_API void check_axes(const std::vector<std::int64_t>& sizes, std::int64_t head_dim,
                             std::string_view key, std::string_view origin);

/// The modulation of all blocks: linear(silu(condition)). Keys: linear [6 * width, width]. (Chen et al. 2023;
/// diffusers.models.normalization.AdaLayerNormSingle)
class ONNXPORT_API SharedModulation {
 public:
  static constexpr std::int64_t kParts = 6;
  SharedModulation(const Scope& s, std::int64_t width);
  /// condition [B, width] -> [B, 6, width]
  Value operator()(Value condition) const;

 private:
  std::string path_;
  Linear linear_;
};

/// The table of a block, which is added to the shared modulation. Keys: scale_shift_table [parts, width].
class ONNXPORT_API ModulationTable {
 public:
  ModulationTable(const Scope& s, std::int64_t parts, std::int64_t width);
  /// [B, parts or 1, width] -> parts [B, 1, width]
  std::vector<Value> operator()(Value shared) const;

 private:
  std::string path_;
  std::int64_t parts_;
  Weight table_;
};

/// linear_2(gelu(linear_1(x))) with the tanh approximation: the states of a text in the width of the tokens.
/// (diffusers.models.embeddings.PixArtAlphaTextProjection)
ONNXPORT_API Mlp caption_projection(const Scope& s, std::int64_t in, std::int64_t width);

/// In float16, values beyond the range become the largest ones in it, as in the originals. Other types stay
/// as they are.
ONNXPORT_API Value finite_half(Value x);

/// A mask of 0 and 1 [B, S] as a bias of the scores [B, 1, 1, S]: -10000 where it is 0.
ONNXPORT_API op::AttentionMask text_mask(Value mask);

}  // namespace onnxport::nn
