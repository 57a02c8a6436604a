/// The model card of a repository.
#pragma once

#include <filesystem>
#include <string>

namespace onnxport::pipeline {

inline constexpr const char* kModelCard = "README.md";

/// The value of `pipeline_tag` in the metadata at the start of a model card; empty if there is none.
std::string tag_of_card(const std::filesystem::path& file);

}  // namespace onnxport::pipeline
