/// The definition of a pipeline of diffusers, or of one of its components, and their files.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "checkpoint/checkpoint.h"
#include "onnxport/config.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::exporter {

inline constexpr const char* kModelIndex = "model_index.json";

/// Whether the folder holds a pipeline: it has a model_index.json.
bool is_pipeline_folder(const std::filesystem::path& folder);
/// Whether the folder holds a pipeline, or a component whose config.json names its class but no model type.
bool is_diffusers_folder(const std::filesystem::path& folder);

/// Throws ExportError(unsupported) with the way to convert it if `path` is a checkpoint in one file, as the
/// original repositories of diffusion models have it, or a folder with such a file and no configuration.
void refuse_single_file(const std::filesystem::path& path);

/// The configuration of a pipeline, with those of its components as objects of their names; or of a
/// component. The class becomes the model type. Throws ExportError(bad_config) if a file is missing or
/// broken, or if model_index.json names no class or no component.
PretrainedConfig read_diffusers_config(const std::filesystem::path& folder);

/// The definition of the class that the configuration names. Throws ExportError(unsupported) that lists the
/// supported classes.
std::shared_ptr<const ModelDefinition> diffusers_definition(const TasksManager& tasks,
                                                            const PretrainedConfig& config);

/// Pipelines for images and for inpainting have the same components as those for texts, which is their task.
std::string pipeline_task(const std::string& task);

/// Whether a component computes in float32 even if the export is in float16, whose range is too small for it:
/// the autoencoder of Stable Diffusion XL, unless its force_upcast is false, as its pipelines in diffusers
/// do; and the autoencoder and the text encoder of Sana, which diffusers recommends to run in bfloat16. An
/// autoencoder without a pipeline obeys its force_upcast.
bool runs_in_float32(const Model& model, const Component& component);

/// The weights of all components of a pipeline, in one checkpoint: their keys begin with the component's
/// name. A component that has no files of the variant gives those without, if others have them.
std::shared_ptr<const Checkpoint> open_pipeline(const std::filesystem::path& folder,
                                                const PretrainedConfig& config, const std::string& variant);

}  // namespace onnxport::exporter
