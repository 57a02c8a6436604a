/// Files that are copied along from the folders of adapters.
#pragma once

#include <filesystem>
#include <vector>

#include "onnxport/model.h"

namespace onnxport::pipeline {

/// Copies the tokenizer and the other files of adapters that clients look for beside a model, over those of
/// the base model: an adapter may have more tokens, or another chat template. config.json stays that of the
/// model. Adds new files to `written`, which stays sorted. Throws ExportError(io).
void copy_companions_of_adapters(const Model& model, const std::filesystem::path& to,
                                 std::vector<std::filesystem::path>& written);

}  // namespace onnxport::pipeline
