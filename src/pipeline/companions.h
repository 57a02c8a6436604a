/// Files that travel with a model.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace onnxport::pipeline {

/// Copies config.json, generation_config.json, processor and tokenizer files, and the folders of
/// sentence-transformers modules with their weights from `from` to `to`, creating it. Each copy is atomic.
/// `made_config`: the text of config.json where that of `from` is not what the model is; an older one of `to`
/// stays when the folders are the same. Returns what was written, sorted. Throws ExportError(io).
std::vector<std::filesystem::path> copy_companions(const std::filesystem::path& from,
                                                   const std::filesystem::path& to,
                                                   const std::string& made_config = {});

}  // namespace onnxport::pipeline
