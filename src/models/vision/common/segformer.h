/// The encoder of SegFormer: stages of tokens whose attention sees fewer keys, in ever smaller grids.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/token_grid.h"

namespace onnxport::models {

struct SegformerStage {
  std::int64_t depth, width, heads, inner, patch_size, stride, sr_ratio;
};

/// Throws ExportError(bad_config).
struct SegformerEncoderConfig {
  explicit SegformerEncoderConfig(const PretrainedConfig& config);

  std::int64_t num_channels;
  std::string hidden_act;
  std::vector<SegformerStage> stages;
};

/// The tokens of a stage.
struct SegformerTokens {
  Value rows;  ///< [rows of the grid, width]
  nn::TokenGrid grid;

  Value image() const { return nn::rows_to_image(rows, grid); }  ///< [B, width, H, W]
};

/// pixel_values [B, C, H, W] -> the tokens of each stage. `s`: of the encoder.
std::vector<SegformerTokens> segformer_stages(const Scope& s, const SegformerEncoderConfig& c,
                                              Value pixel_values);

/// Images of any size, as long as each stage has as many tokens as one key merges.
class SegformerOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  ImageSize smallest_image() const override;
};

}  // namespace onnxport::models
