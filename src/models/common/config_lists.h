/// Lists in config.json for which PretrainedConfig has no accessor.
#pragma once

#include <cstdint>
#include <vector>

#include "onnxport/config.h"

namespace onnxport::models {

/// The list of true and false with this key, or `fallback` if the file has none. Throws
/// ExportError(bad_config) for other values.
std::vector<bool> flags(const PretrainedConfig& config, const char* key, std::vector<bool> fallback);

/// The list of lists of integers with this key, or `fallback` if the file has none. Lists inside of an inner
/// list are written out: [[[3, 1], [3, 3]], [[5, 5]]] is [[3, 1, 3, 3], [5, 5]]. Throws
/// ExportError(bad_config) for other values, and for numbers below 1 or above 2^20.
std::vector<std::vector<std::int64_t>> integer_lists(const PretrainedConfig& config, const char* key,
                                                     std::vector<std::vector<std::int64_t>> fallback);

}  // namespace onnxport::models
