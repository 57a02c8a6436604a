/// Files that are copied along with a model.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace onnxport::pipeline {

/// Whether a file is copied along with a model. `path` is relative to the model's folder, with `/`.
bool is_companion(std::string_view path);

/// Whether it is the folder of a sentence-transformers module: `1_Pooling`, `2_Dense`.
bool is_module_folder(std::string_view name);

/// Copies config.json, generation_config.json, processor and tokenizer files, and the folders of
/// sentence-transformers modules with their weights from `from` to `to`, creating it. Each copy is atomic.
/// `made_config`: the text of config.json if `from` has none that describes the model; if the folders are the
/// same, an existing one stays. Returns the written files, sorted. Throws ExportError(io).
std::vector<std::filesystem::path> copy_companions(const std::filesystem::path& from,
                                                   const std::filesystem::path& to,
                                                   const std::string& made_config = {});

}  // namespace onnxport::pipeline
