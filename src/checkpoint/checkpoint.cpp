#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <system_error>

#include "checkpoint/gguf.h"
#include "checkpoint/quantization.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/torch_file.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

constexpr std::array<std::string_view, 8> kCandidates = {"model.safetensors",
                                                         "model.safetensors.index.json",
                                                         "diffusion_pytorch_model.safetensors",
                                                         "diffusion_pytorch_model.safetensors.index.json",
                                                         "pytorch_model.bin",
                                                         "pytorch_model.bin.index.json",
                                                         "diffusion_pytorch_model.bin",
                                                         "diffusion_pytorch_model.bin.index.json"};

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

[[noreturn]] void fail_nothing_found(const fs::path& folder) {
  fail(kBad, "no weights in '{}': looked for {}, *.gguf", folder.string(), fmt::join(kCandidates, ", "));
}

}  // namespace

std::shared_ptr<const Checkpoint> Checkpoint::open(const fs::path& path, const Quantization& quantization) {
  std::error_code ignored;
  if (!is_present(path)) fail(kBad, "checkpoint '{}' does not exist", path.string());
  if (!fs::is_directory(path, ignored)) return open_file(path, quantization);
  for (std::string_view name : kCandidates) {
    if (is_present(path / name)) return open_file(path / name, quantization);
  }
  if (const fs::path file = gguf::find_in(path); !file.empty()) return open_gguf(file);
  fail_nothing_found(path);
}

std::shared_ptr<const Checkpoint> Checkpoint::open(const fs::path& path) { return open(path, {}); }

std::span<const std::string_view> Checkpoint::file_names() { return kCandidates; }

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
