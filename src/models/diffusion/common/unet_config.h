/// The configuration of UNet2DConditionModel.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/timestep.h"
#include "onnxport/nn/unet.h"

namespace onnxport::models {

/// The arguments of the class, with their defaults.
extern const char* const kUNetDefaults;

/// The numbers that describe the sizes of an image, beside the text: how many, and the width of each.
struct SizeConditions {
  std::int64_t count = 0, width = 0, text = 0;

  /// `projected`: the width of all of them and of the vector of the text.
  SizeConditions(const PretrainedConfig& c, std::int64_t projected);
};
/// Those of Stable Diffusion XL; nothing for other models.
std::optional<SizeConditions> size_conditions(const PretrainedConfig& c);

struct UNetConfig {
  std::int64_t in_channels, out_channels, groups, conv_in, conv_out, downsample_padding, time_width;
  std::vector<std::int64_t> widths, layers, heads, contexts, transformer_layers;
  std::vector<std::string> down, up;
  std::optional<std::string> middle;
  std::string activation;
  double eps, middle_divisor;
  bool linear, float32_scores, scale_shift, centered;
  nn::StepSinusoids sinusoids;
  std::int64_t time_condition;
  std::optional<SizeConditions> sizes;

  explicit UNetConfig(const PretrainedConfig& c);

  nn::ResnetBlock2dParameters block(std::int64_t in, std::int64_t out) const;
  /// The transformer of the block with this width.
  nn::SpatialTransformerParameters transformer(std::size_t level) const;

 private:
  /// One number for all blocks, or a list.
  std::vector<std::int64_t> per_block(const PretrainedConfig& c, const char* key) const;
  std::vector<std::string> kinds(const PretrainedConfig& c, const char* key, const char* plain,
                                 const char* crossed) const;
};

}  // namespace onnxport::models
