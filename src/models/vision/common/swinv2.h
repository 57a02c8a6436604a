/// The layers of Swin Transformers of version 2, which super resolution uses too. (Liu et al. 2022)
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/config.h"
#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/token_grid.h"
#include "onnxport/nn/window_attention.h"
#include "onnxport/scope.h"

namespace onnxport::models {

/// Settings that swinv2 and swin2sr have.
struct Swinv2Config {
  std::int64_t num_channels, embed_dim, window_size, grid;  ///< grid: rows of the image size in the file
  std::vector<std::int64_t> patch_size, depths, num_heads;
  double mlp_ratio, layer_norm_eps;
  bool qkv_bias;
  std::string hidden_act;

  /// Throws ExportError(bad_config | unsupported).
  explicit Swinv2Config(const PretrainedConfig& c);
};

struct Swinv2StageParameters {
  std::int64_t width = 0, heads = 0;
  std::int64_t grid = 0;               ///< rows, of the image size in the file
  std::int64_t pretrained_window = 0;  ///< 0: that of the stage
};

/// The windows of a stage. The image size in the file determines them, whatever the size of an image.
struct Swinv2Windows {
  std::int64_t size, shift;
  Swinv2Windows(const Swinv2Config& c, std::int64_t grid)
      : size(std::min(grid, c.window_size)), shift(grid <= size ? 0 : c.window_size / 2) {}
};

/// Layers `s / 0`, `s / 1`, …, every second one with shifted windows: x [rows of the grid, width] -> the
/// same.
Value run_swinv2_layers(Value x, const Scope& s, const Swinv2Config& c, const Swinv2StageParameters& p,
                        std::int64_t depth, const nn::TokenGrid& grid);

}  // namespace onnxport::models
