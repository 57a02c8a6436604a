#include "checkpoint/accounting.h"

#include <algorithm>

#include "support/text.h"

namespace onnxport {

bool KeyAccounting::is_ignored(std::string_view key) const {
  if (ignored_.empty()) return false;
  for (std::size_t end = key.size(); end != std::string_view::npos;
       end = end == 0 ? end - 1 : key.rfind('.', end - 1)) {
    if (ignored_.find(key.substr(0, end)) != ignored_.end()) return true;
  }
  return false;
}

namespace {

bool is_below(std::string_view key, std::string_view path) {
  return path.empty() || (key.size() > path.size() && key.starts_with(path) && key[path.size()] == '.');
}

}  // namespace

bool KeyAccounting::is_of_unread_head(std::string_view key) const {
  // Bases are nested (`detr`, and `detr.model` in it): the innermost model around the key tells.
  const std::pair<const std::string, std::string>* around = nullptr;
  for (const auto& entry : bases_) {
    const auto& [whole, base] = entry;
    if (is_below(key, whole) && (around == nullptr || whole.size() > around->first.size())) around = &entry;
  }
  if (around == nullptr || is_below(key, around->second)) return false;
  const std::size_t begin = around->first.empty() ? 0 : around->first.size() + 1;
  const std::string module(key.substr(0, key.find('.', begin)));
  const auto first = read_.lower_bound(module + ".");
  return !is_read(module) && (first == read_.end() || !is_below(*first, module));
}

std::vector<std::string> KeyAccounting::unread(const Checkpoint& checkpoint,
                                               std::span<const std::string> ignorable) const {
  std::vector<std::string> keys;
  for (const TensorView& view : checkpoint.tensors()) {
    const auto matches = [&](const std::string& pattern) { return text::glob_match(pattern, view.key); };
    if (is_read(view.key) || is_ignored(view.key) ||
        std::any_of(ignorable.begin(), ignorable.end(), matches)) {
      continue;
    }
    keys.push_back(view.key);
  }
  return keys;
}

}  // namespace onnxport
