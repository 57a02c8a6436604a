#include "checkpoint/shards.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <system_error>

#include "checkpoint/json_walker.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/torch_file.h"
#include "support/file.h"

namespace onnxport {

namespace fs = std::filesystem;

namespace {

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

}  // namespace

namespace safetensors {
namespace {

/// Whether `name` is a relative path without steps upwards, with slashes.
bool is_below(std::string_view name) {
  if (name.find('\\') != name.npos || name.find('\0') != name.npos) return false;
  for (std::size_t at = 0; at <= name.size();) {
    const std::size_t end = std::min(name.find('/', at), name.size());
    const std::string_view step = name.substr(at, end - at);
    if (step.empty() || step == "." || step == "..") return false;
    at = end + 1;
  }
  return true;
}

class IndexWalker final : public Walker {
 public:
  using Walker::Walker;
  std::vector<std::pair<std::string, std::string>> map;
  bool found = false;

 private:
  void on_key(const std::string& key) override {
    if (depth() == 1) {
      in_map_ = key == "weight_map";
      if (in_map_ && std::exchange(found, true)) fail(kBad, "index {} has key 'weight_map' twice", file_);
    } else if (in_map_) {
      map.emplace_back(key, std::string());
    }
  }

  void on_object(int depth) override {
    if (in_map_ && depth > 1) fail_shard("an object");
  }

  void on_array(int depth) override {
    if (in_map_ && depth == 1) fail(kBad, "weight_map of index {} is an array, expected an object", file_);
    if (in_map_) fail_shard("an array");
  }

  void on_value(const Scalar& value, int depth) override {
    if (!in_map_) return;
    if (depth == 1) fail(kBad, "weight_map of index {} is {}, expected an object", file_, describe(value));
    const auto* shard = std::get_if<std::string_view>(&value);
    if (shard == nullptr) fail_shard(describe(value));
    if (!is_below(*shard)) {
      fail(kBad, "index {} lists tensor '{}' in '{}', expected the name of a file beside or below it", file_,
           printable(map.back().first), printable(*shard));
    }
    map.back().second = *shard;
  }

  [[noreturn]] void fail_shard(std::string_view found_value) const {
    fail(kBad, "index {} has {} for tensor '{}', expected the name of a file", file_, found_value,
         printable(map.back().first));
  }

  bool in_map_ = false;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_index(std::string_view text,
                                                             const std::string& file_name) {
  IndexWalker walker(file_name);
  // People and scripts write index files, so blanks before the object are allowed.
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  walker.walk(text, "content");
  if (!walker.found) fail(kBad, "index {} has no weight_map", file_name);
  std::vector<std::string_view> keys(walker.map.size());
  std::transform(walker.map.begin(), walker.map.end(), keys.begin(),
                 [](const auto& e) -> std::string_view { return e.first; });
  check_unique(std::move(keys), "weight_map", file_name);
  std::sort(walker.map.begin(), walker.map.end());
  return std::move(walker.map);
}

}  // namespace safetensors

bool is_present(const fs::path& path) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) return true;
  if (!fs::is_symlink(fs::symlink_status(path, ignored))) return false;
  fail(kBad, "'{}' is a link to '{}', which does not exist: the download is not complete", path.string(),
       fs::read_symlink(path, ignored).string());
}

std::vector<StoredTensor> read_weights_file(const fs::path& path) {
  const auto file = File::open(path);
  if (path.extension() == ".bin") return torch_file::read(file);
  return safetensors::read(file);
}

Shards read_shards(const fs::path& index) {
  const std::string name = index.filename().string();
  const auto weight_map = safetensors::parse_index(read_text_file(index, safetensors::kMaxHeader), name);
  std::set<std::string> names;
  for (const auto& [key, shard] : weight_map) names.insert(shard);

  Shards result;
  std::map<std::string, std::map<std::string, StoredTensor>> found;  // by key, then by shard
  for (const std::string& shard : names) {
    const fs::path path = index.parent_path() / shard;
    if (!is_present(path)) {
      fail(kBad, "shard '{}', which {} lists, is missing in '{}'; download it", shard, name,
           index.parent_path().string());
    }
    result.files.push_back(path);
    for (StoredTensor& tensor : read_weights_file(path)) {
      std::string key = tensor.view.key;
      found[std::move(key)].emplace(shard, std::move(tensor));
    }
  }

  for (const auto& [key, shard] : weight_map) {
    const auto holders = found.find(key);
    if (holders == found.end()) {
      result.absent.emplace(key,
                            fmt::format("{} lists it in shard '{}', which does not have it", name, shard));
    } else if (auto listed = holders->second.extract(shard)) {
      result.tensors.push_back(std::move(listed.mapped()));
      found.erase(holders);
    }
  }
  // Tensors that the index places elsewhere or does not list. The checkpoint refuses those that several
  // shards have, because nothing tells which one counts.
  for (auto& [key, holders] : found) {
    for (auto& [shard, tensor] : holders) result.tensors.push_back(std::move(tensor));
  }
  return result;
}

}  // namespace onnxport
