/// Checkpoints from GGUF files: their tensors under the keys of the original, and a configuration from their
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

/// config.json of the folder `path`, or beside the .gguf file `path`; where there is none, or none that says
/// more than the model type, what the metadata of the .gguf file there say. Throws ExportError(bad_config),
/// and for GGUF files what Checkpoint::open() does, and ExportError(unsupported) for an architecture that no
/// model type is read from.
PretrainedConfig read_config(const TasksManager& tasks, const std::filesystem::path& path);

/// What the metadata say. Throws ExportError(unsupported) as above.
PretrainedConfig config_from(const TasksManager& tasks, const GgufInfo& info);

/// Was it made from metadata?
bool is_made(const PretrainedConfig& config);

/// The checkpoint that was converted to `stored`, for a model of this type and configuration. Tensors that
/// the layout does not know keep their names. Throws ExportError(unsupported) for a type without layout,
/// ExportError(bad_checkpoint) for a file of another architecture and for shapes that cannot be.
std::shared_ptr<const Checkpoint> restore(const Checkpoint& stored, const ModelDefinition& definition,
                                          const PretrainedConfig& config);

/// What a user should know: where the configuration comes from, and that the tokenizer stays behind unless
/// the folder has it.
std::vector<std::string> gguf_notices(const GgufInfo& info, const PretrainedConfig& config,
                                      const std::filesystem::path& folder);

}  // namespace onnxport::exporter
