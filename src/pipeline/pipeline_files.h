/// Files of a pipeline of diffusers that are copied along.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/config.h"

namespace onnxport::pipeline {

/// Whether a file of a pipeline's folder, such as scheduler/scheduler_config.json, is copied along: those of
/// the scheduler, the tokenizers and the feature extractor, and model_index.json. `path` is relative to the
/// folder, with `/`.
bool is_pipeline_companion(std::string_view path);

/// Copies them from `from` to `to`, creating it, and writes a config.json beside each model: that of its
/// component, with the defaults of its class, as diffusers saves it. `models`: the folders of the models.
/// Returns the written files, sorted. Throws ExportError(io).
std::vector<std::filesystem::path> copy_pipeline_companions(const std::filesystem::path& from,
                                                            const std::filesystem::path& to,
                                                            const PretrainedConfig& config,
                                                            const std::vector<std::string>& models);

/// The components that model_index.json names and an export leaves out, as a notice.
std::vector<std::string> left_out_of_pipeline(const std::filesystem::path& folder);

}  // namespace onnxport::pipeline
