/// Settings of networks that work in stages, each with an image of its own size.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/config.h"

namespace onnxport::models {

/// The list with this key: a number of at least `least` for each of `stages` stages. Throws
/// ExportError(bad_config) for fewer numbers, and for numbers below `least` or above 2^20.
std::vector<std::int64_t> per_stage(const PretrainedConfig& config, const char* key, std::int64_t stages,
                                    std::int64_t least = 1);
/// The same for positive real numbers.
std::vector<double> reals_per_stage(const PretrainedConfig& config, const char* key, std::int64_t stages);
/// The length of the list with this key. Throws ExportError(bad_config) unless it is 1 to 16.
std::int64_t stage_count(const PretrainedConfig& config, const char* key);
/// The number with this key. Throws ExportError(bad_config) unless it is `least` to 2^20.
std::int64_t moderate(const PretrainedConfig& config, const char* key, std::int64_t least = 1);

/// Throws ExportError(bad_config) that names the keys unless heads divide channels in each stage.
void check_stage_heads(const PretrainedConfig& config, std::string_view width_key,
                       const std::vector<std::int64_t>& widths, std::string_view heads_key,
                       const std::vector<std::int64_t>& heads);

/// A multiple of `divisor` near `channels`, at least `least`, and not below nine tenths of `channels`. (The
/// rule of MobileNet, EfficientNet and others.)
std::int64_t round_channels(double channels, std::int64_t divisor, std::int64_t least);

}  // namespace onnxport::models
