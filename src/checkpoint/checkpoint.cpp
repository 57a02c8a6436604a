#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <system_error>

#include "checkpoint/gguf.h"
#include "checkpoint/quantization.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/torch_file.h"
#include "checkpoint/weight_files.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

/// Whether there is anything of this name. A broken link means an unfinished download and gets its own
/// message.
bool is_present(const fs::path& path) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) return true;
  if (!fs::is_symlink(fs::symlink_status(path, ignored))) return false;
  fail(kBad, "'{}' is a link to '{}', which does not exist: the download is not complete", path.string(),
       fs::read_symlink(path, ignored).string());
}

/// The tensors of one weights file of either format.
std::vector<StoredTensor> read_file(const fs::path& path) {
  const auto file = File::open(path);
  if (path.extension() == ".bin") return torch_file::read(file);
  return safetensors::read(file);
}

std::vector<StoredTensor> read_shards(const fs::path& index, std::vector<fs::path>& files) {
  const std::string name = index.filename().string();
  const auto weight_map = safetensors::parse_index(read_text_file(index, safetensors::kMaxHeader), name);

  std::map<std::string, std::map<std::string, StoredTensor>> shards;  // by file name, then by key
  for (const auto& [key, shard] : weight_map) shards[shard];
  for (auto& [shard, tensors] : shards) {
    const fs::path path = index.parent_path() / shard;
    if (!is_present(path)) {
      fail(kBad, "shard '{}', which {} lists, is missing in '{}'; download it", shard, name,
           index.parent_path().string());
    }
    files.push_back(path);
    for (StoredTensor& tensor : read_file(path)) {
      std::string key = tensor.view.key;
      tensors.emplace(std::move(key), std::move(tensor));
    }
  }

  std::vector<StoredTensor> found;
  for (const auto& [key, shard] : weight_map) {
    auto tensor = shards[shard].extract(key);
    if (!tensor) fail(kBad, "{} lists tensor '{}' in shard '{}', which does not have it", name, key, shard);
    found.push_back(std::move(tensor.mapped()));
  }
  // Tensors that the index does not list count too, unless the index places the key in another shard.
  for (auto& [shard, tensors] : shards) {
    for (auto& [key, tensor] : tensors) {
      const auto listed =
          std::lower_bound(weight_map.begin(), weight_map.end(), std::pair(key, std::string()));
      if (listed == weight_map.end() || listed->first != key) found.push_back(std::move(tensor));
    }
  }
  return found;
}

std::shared_ptr<const Checkpoint> open_gguf(const fs::path& path) {
  gguf::Contents contents = gguf::read(path);
  return std::make_shared<const Checkpoint>(std::move(contents.tensors), path.filename().string(),
                                            std::make_shared<const GgufInfo>(std::move(contents.info)),
                                            std::vector<fs::path>{path});
}

std::shared_ptr<const Checkpoint> open_file(const fs::path& path, const Quantization& quantization) {
  if (path.extension() == ".gguf") return open_gguf(path);
  const std::string name = path.filename().string();
  std::vector<fs::path> files;
  auto tensors = path.extension() == ".json" ? read_shards(path, files) : read_file(path);
  if (files.empty()) files.push_back(path);
  return std::make_shared<const Checkpoint>(dequantize(std::move(tensors), quantization, name), name,
                                            std::shared_ptr<const GgufInfo>(), std::move(files));
}

/// The files in the folder and in the folders in it, with `/`, sorted.
std::vector<std::string> list_files(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code ignored;
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, ignored);
  for (; entry != fs::recursive_directory_iterator(); entry.increment(ignored)) {
    if (entry->is_directory(ignored)) {
      if (entry.depth() >= 1) entry.disable_recursion_pending();
    } else {
      files.push_back(entry->path().lexically_relative(folder).generic_string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

std::shared_ptr<const Checkpoint> Checkpoint::open(const fs::path& path, const Quantization& quantization,
                                                   const std::string& variant) {
  std::error_code ignored;
  if (!is_present(path)) fail(kBad, "checkpoint '{}' does not exist", path.string());
  if (!fs::is_directory(path, ignored)) {
    if (variant.empty()) return open_file(path, quantization);
    fail(ErrorCode::invalid_argument,
         "--weights-variant {}: '{}' is a file; expected a folder that holds the weights in several variants",
         variant, path.string());
  }
  const std::vector<std::string> names = weight_file_names(variant);
  for (const std::string& name : names) {
    if (is_present(path / name)) return open_file(path / name, quantization);
  }
  const bool takes_gguf = variant.empty();
  if (takes_gguf) {
    if (const fs::path file = gguf::find_in(path); !file.empty()) return open_gguf(file);
  }
  const std::string instead = instead_of_weights(list_files(path));
  fail(kBad, "no weights in '{}': looked for {}{}{}{}", path.string(), fmt::join(names, ", "),
       takes_gguf ? ", *.gguf" : "", instead.empty() ? "" : "; ", instead);
}

std::shared_ptr<const Checkpoint> Checkpoint::open(const fs::path& path) { return open(path, {}); }

Checkpoint::Checkpoint(std::vector<StoredTensor> tensors, std::string name,
                       std::shared_ptr<const GgufInfo> gguf, std::vector<fs::path> files)
    : name_(std::move(name)), gguf_(std::move(gguf)), files_(std::move(files)) {
  tensors_.reserve(tensors.size());
  for (StoredTensor& tensor : tensors) {
    if (tensor.weight) computed_.emplace(tensor.view.key, tensor.weight.named(tensor.view.key));
    tensors_.push_back(std::move(tensor.view));
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorView& a, const TensorView& b) { return a.key < b.key; });
  const auto same_key = [](const TensorView& a, const TensorView& b) { return a.key == b.key; };
  const auto twice = std::adjacent_find(tensors_.begin(), tensors_.end(), same_key);
  if (twice != tensors_.end()) fail(kBad, "tensor '{}' occurs in several shards of {}", twice->key, name_);
}

const TensorView* Checkpoint::find(std::string_view key) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), key,
                       [](const TensorView& view, std::string_view wanted) { return view.key < wanted; });
  return found != tensors_.end() && found->key == key ? &*found : nullptr;
}

Weight Checkpoint::weight(const TensorView& view) const {
  const auto computed = computed_.find(view.key);
  return computed == computed_.end() ? Weight(view) : computed->second;
}

bool Checkpoint::has_prefix(std::string_view prefix) const {
  const auto found =
      std::lower_bound(tensors_.begin(), tensors_.end(), prefix,
                       [](const TensorView& view, std::string_view wanted) { return view.key < wanted; });
  return found != tensors_.end() && found->key.starts_with(prefix);
}

std::vector<std::string> Checkpoint::keys() const {
  std::vector<std::string> result;
  result.reserve(tensors_.size());
  for (const TensorView& view : tensors_) result.push_back(view.key);
  return result;
}

std::int64_t Checkpoint::num_parameters() const {
  std::int64_t count = 0;
  for (const TensorView& view : tensors_) count += is_float(view.dtype) ? view.numel() : 0;
  return count;
}

std::vector<std::string> Checkpoint::nearest(std::string_view key, std::size_t count) const {
  return text::nearest(key, keys(), count);
}

}  // namespace onnxport
