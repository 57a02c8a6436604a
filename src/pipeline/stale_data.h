/// Data files that an earlier export left in the output folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace onnxport::pipeline {

/// Removes the data files in `folder` (`*.onnx_data`, `*.onnx.data`, and these with `_1`, `_2`, … behind
/// them) that no .onnx file there refers to, and returns their paths, sorted. If one of the .onnx files
/// cannot be read, nothing is removed.
std::vector<std::filesystem::path> remove_stale_data(const std::filesystem::path& folder);

}  // namespace onnxport::pipeline
