/// The weights in memory that stand for those of a folder.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace onnxport {

/// The name of such weights, for messages.
inline constexpr const char* kLiveName = "the model in memory";

/// The tensors of LiveWeights for this folder, if there are any.
std::optional<std::vector<StoredTensor>> live_tensors(const std::filesystem::path& folder);

}  // namespace onnxport
