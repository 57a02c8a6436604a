/// Checkpoints from GGUF files: their tensors with the keys of the original, and a configuration from their
/// metadata.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "onnxport/config.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::exporter {

/// Reads config.json in the folder `path`, or beside the .gguf file `path`. If there is none, or it holds
/// only the model type, uses the metadata of the .gguf file. Throws ExportError(bad_config); for GGUF files
/// also the errors of Checkpoint::open(), and ExportError(unsupported) if no model type supports the
/// architecture.
PretrainedConfig read_config(const TasksManager& tasks, const std::filesystem::path& path);

/// The configuration from the metadata. Throws ExportError(unsupported) as above.
PretrainedConfig config_from(const TasksManager& tasks, const GgufInfo& info);

/// Whether it was made from metadata.
bool is_made(const PretrainedConfig& config);

/// Restores the checkpoint that was converted to `stored`, for a model of this type and configuration.
/// Tensors that the layout does not know keep their names. Throws ExportError(unsupported) for a type without
/// a layout, and ExportError(bad_checkpoint) for a file of another architecture or impossible shapes.
std::shared_ptr<const Checkpoint> restore(const Checkpoint& stored, const ModelDefinition& definition,
                                          const PretrainedConfig& config);

/// Notices for the user: where the configuration comes from, and that the tokenizer is not converted unless
/// the folder has it.
std::vector<std::string> gguf_notices(const GgufInfo& info, const PretrainedConfig& config,
                                      const std::filesystem::path& folder);

}  // namespace onnxport::exporter
