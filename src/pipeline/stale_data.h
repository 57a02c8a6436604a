/// Data files that an earlier export left in the output folder.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace onnxport::pipeline {

/// Removes the files `*.onnx_data` in `folder` that no .onnx file there refers to, and returns their paths,
/// sorted. If one of the .onnx files cannot be read, nothing is removed.
std::vector<std::filesystem::path> remove_stale_data(const std::filesystem::path& folder);

}  // namespace onnxport::pipeline
