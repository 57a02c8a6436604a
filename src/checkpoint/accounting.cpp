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
