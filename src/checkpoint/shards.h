/// Checkpoints of several files with an index.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace onnxport {

namespace safetensors {

/// The `weight_map` of a model.safetensors.index.json: (key, name of the shard file), sorted by key. A shard
/// lies beside the index or in a folder below it.
std::vector<std::pair<std::string, std::string>> parse_index(std::string_view text,
                                                             const std::string& file_name);

}  // namespace safetensors

/// The tensors of the shards that an index lists.
struct Shards {
  std::vector<StoredTensor> tensors;
  std::vector<std::filesystem::path> files;
  std::map<std::string, std::string, std::less<>> absent;  ///< see Checkpoint::why_absent
};

/// The tensors of one weights file of either format.
std::vector<StoredTensor> read_weights_file(const std::filesystem::path& path);

/// Whether there is anything of this name. Throws ExportError(bad_checkpoint) for a link to nothing: an
/// unfinished download.
bool is_present(const std::filesystem::path& path);

/// Reads the headers of all shards. Where the index and the shards disagree, the shards count: a tensor that
/// is in one of them belongs to the checkpoint, and one that is in none is missing only to those who read it.
/// If several have it, the one that the index names counts. Throws ExportError(bad_checkpoint | io).
Shards read_shards(const std::filesystem::path& index);

}  // namespace onnxport
