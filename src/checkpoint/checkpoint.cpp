#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "checkpoint/gguf.h"
#include "checkpoint/live_weights.h"
#include "checkpoint/quantization.h"
#include "checkpoint/shards.h"
#include "checkpoint/weight_files.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

std::shared_ptr<const Checkpoint> open_gguf(const fs::path& path) {
  gguf::Contents contents = gguf::read(path);
  return std::make_shared<const Checkpoint>(std::move(contents.tensors), path.filename().string(),
                                            std::make_shared<const GgufInfo>(std::move(contents.info)),
                                            std::vector<fs::path>{path});
}

std::shared_ptr<const Checkpoint> open_file(const fs::path& path, const Quantization& quantization) {
  if (path.extension() == ".gguf") return open_gguf(path);
  const std::string name = path.filename().string();
  Shards shards;
  if (path.extension() == ".json") {
    shards = read_shards(path);
  } else {
    shards = {read_weights_file(path), {path}, {}};
  }
  return std::make_shared<const Checkpoint>(dequantize(std::move(shards.tensors), quantization, name), name,
                                            std::shared_ptr<const GgufInfo>(), std::move(shards.files),
                                            std::move(shards.absent));
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
  if (auto live = live_tensors(path))
    return std::make_shared<const Checkpoint>(dequantize(*std::move(live), quantization, kLiveName),
                                              kLiveName);
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
                       std::shared_ptr<const GgufInfo> gguf, std::vector<fs::path> files,
                       std::map<std::string, std::string, std::less<>> absent)
    : name_(std::move(name)), gguf_(std::move(gguf)), files_(std::move(files)), absent_(std::move(absent)) {
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

std::shared_ptr<const Checkpoint> Checkpoint::joined(
    const std::vector<std::pair<std::string, std::shared_ptr<const Checkpoint>>>& parts, std::string name) {
  std::vector<StoredTensor> tensors;
  std::vector<fs::path> files;
  std::map<std::string, std::string, std::less<>> absent;
  for (const auto& [prefix, part] : parts) {
    for (const TensorView& view : part->tensors_) {
      StoredTensor& tensor = tensors.emplace_back(StoredTensor{.view = view});
      tensor.view.key = fmt::format("{}.{}", prefix, view.key);
      if (const auto computed = part->computed_.find(view.key); computed != part->computed_.end())
        tensor.weight = computed->second;
    }
    for (const auto& [key, why] : part->absent_) absent.emplace(fmt::format("{}.{}", prefix, key), why);
    files.insert(files.end(), part->files_.begin(), part->files_.end());
  }
  return std::make_shared<const Checkpoint>(std::move(tensors), std::move(name),
                                            std::shared_ptr<const GgufInfo>(), std::move(files),
                                            std::move(absent));
}

std::shared_ptr<const Checkpoint> Checkpoint::tied(std::string part, std::string other) const {
  auto copy = std::make_shared<Checkpoint>(*this);
  copy->tied_ = std::move(part) + ".";
  copy->tied_to_ = std::move(other) + ".";
  return copy;
}

std::string Checkpoint::why_absent(std::string_view key) const {
  const auto found = absent_.find(key);
  return found == absent_.end() ? std::string() : found->second;
}

const TensorView* Checkpoint::find(std::string_view key) const {
  const TensorView* stored = find_stored(key);
  if (stored != nullptr || tied_.empty() || !key.starts_with(tied_)) return stored;
  const std::string_view below = key.substr(tied_.size());
  if (const TensorView* other = find_stored(tied_to_ + std::string(below))) return other;
  const std::size_t dot = below.find('.');
  return dot == below.npos ? nullptr : find_stored(tied_to_ + std::string(below.substr(dot + 1)));
}

const TensorView* Checkpoint::find_stored(std::string_view key) const {
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
