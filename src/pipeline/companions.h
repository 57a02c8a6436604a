/// Files that travel with a model.
#pragma once

#include <filesystem>
#include <vector>

namespace onnxport::pipeline {

/// Copies config.json, generation_config.json, processor and tokenizer files, and the folders of
/// sentence-transformers modules with their weights from `from` to `to`, creating it. Each copy is atomic.
/// Returns what was written, sorted. Throws ExportError(io).
std::vector<std::filesystem::path> copy_companions(const std::filesystem::path& from,
                                                   const std::filesystem::path& to);

}  // namespace onnxport::pipeline
