/// The mask decoder of SAM.
#pragma once

#include <cstdint>
#include <string>

#include "models/common/definition.h"

namespace onnxport::models {

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
