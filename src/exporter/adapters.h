/// The adapters of a model: merged into its checkpoint, with the configuration and the task that go with
/// them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/config.h"

namespace onnxport {

struct ModelDefinition;

namespace exporter {

/// A checkpoint with all adapters in it.
struct AdaptedCheckpoint {
  std::shared_ptr<const Checkpoint> checkpoint;
  /// Set if the adapters bring another number of labels or tokens along.
  std::optional<PretrainedConfig> config = {};
  std::set<std::string, std::less<>> changed = {};  ///< keys that the adapters replace or add
  std::vector<std::string> notices = {};
};

/// Merges adapters in this order. A head for another number of labels than `config` has sets the labels of a
/// classification `task`, as the class of the original does for num_labels; embeddings for another number of
/// tokens set vocab_size. Throws ExportError; see adapter.h and adapter_config.h.
AdaptedCheckpoint apply_adapters(std::shared_ptr<const Checkpoint> checkpoint, const PretrainedConfig& config,
                                 std::string_view task, const std::vector<std::filesystem::path>& adapters);

/// The task of a type for which the first adapter that says so was made: `task_type`, or else the class of
/// its base model.
std::optional<std::string> task_of_adapters(const ModelDefinition& definition,
                                            const std::vector<std::filesystem::path>& adapters);

/// Refuses a model folder that holds an adapter which is not one of `adapters`.
void require_adapter_of(const std::filesystem::path& folder,
                        const std::vector<std::filesystem::path>& adapters);

/// Complaints about tensors of adapters that the graphs take from another tensor: copies of tied weights.
std::vector<std::string> ignored_changes(const Checkpoint& checkpoint, const KeyAccounting& accounting,
                                         const std::set<std::string, std::less<>>& changed);

}  // namespace exporter
}  // namespace onnxport
