/// The encoder of Swin Transformers, which other models use too.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/graph.h"
#include "onnxport/middle_end.h"
#include "onnxport/nn/token_grid.h"
#include "onnxport/roles.h"
#include "onnxport/scope.h"

namespace onnxport::models {

/// Tokens of a stage.
struct SwinTokens {
  Value rows;  ///< [rows of the grid, channels]
  nn::TokenGrid grid;
  std::int64_t channels = 0;

  Value last_hidden_state() const { return nn::rows_to_tokens(rows, grid); }  ///< [B, L, channels]
};

enum class SwinNorm : std::uint8_t { none, last };  ///< after the last stage

/// pixel_values [B, num_channels, height, width] -> tokens. `s`: the scope of the base model; `config`: of
/// swin or donut-swin. Throws ExportError(bad_config | unsupported).
SwinTokens swin_encoder(Value pixel_values, const Scope& s, const PretrainedConfig& config, SwinNorm norm);

/// The tokens of chosen stages, in this order, as images with a norm of their own. 0 is the stem. Grids that
/// are smaller than a window are filled up, so images may have any size. `norm`: the scope of the norm of a
/// stage. Throws ExportError(bad_config | unsupported).
BackboneFeatures swin_features(Value pixel_values, const Scope& s, const PretrainedConfig& config,
                               const std::vector<std::int64_t>& stages,
                               const std::function<Scope(std::int64_t stage)>& norm);

/// The number of stages.
std::int64_t swin_stages(const PretrainedConfig& config);

/// On smaller images, the last stage has fewer tokens than a window. The original fails, and so does the
/// graph.
ImageSize swin_smallest_image(const PretrainedConfig& config);

class SwinOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  ImageSize smallest_image() const override { return swin_smallest_image(config().unaccounted()); }
};

}  // namespace onnxport::models
