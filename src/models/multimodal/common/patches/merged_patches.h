/// Patches of images of any size, normed, merged in squares and projected: Mistral 3 and LightOnOCR.
#pragma once

#include <string>

#include "models/multimodal/common/decoders/multimodal_decoder.h"

namespace onnxport::models {

/// Patches that fill no square are cut off, so images are at least one square, in steps of squares.
class MergedPatchesOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  ImageSizes image_sizes() const override;
};

struct MergedPatchesParameters {
  std::string activation = "gelu";
  bool bias = false;
};

/// Patches [N, rows * columns, H] of images [N, C, height, width] -> [N, squares, text_config.hidden_size].
/// `whole`: the configuration with spatial_merge_size, text_config and vision_config. Keys: norm,
/// patch_merger, linear_1, linear_2.
Value project_merged_patches(const Scope& s, const PretrainedConfig& whole, Value patches, Value images,
                             const MergedPatchesParameters& p);

}  // namespace onnxport::models
