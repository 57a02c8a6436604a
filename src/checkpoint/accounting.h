/// Records which keys of a checkpoint were read.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace onnxport {

/// Records the keys that modules read or declared as not needed, so that the export can fail for any other
/// key. Not thread-safe.
class KeyAccounting {
 public:
  /// `key`: as stored in the checkpoint.
  void mark_read(std::string_view key) { read_.emplace(key); }
  /// `path`: a key, or a prefix that ends before a dot ("encoder.layer.11").
  void mark_ignored(std::string_view path) { ignored_.emplace(path); }

  bool is_read(std::string_view key) const { return read_.find(key) != read_.end(); }
  /// Whether the key, or a part of the tree above it, is marked as ignored.
  bool is_ignored(std::string_view key) const;

  /// Keys of the checkpoint that were neither read nor ignored and match none of the patterns (with `*`),
  /// sorted.
  std::vector<std::string> unread(const Checkpoint& checkpoint,
                                  std::span<const std::string> ignorable = {}) const;

 private:
  using Keys = std::set<std::string, std::less<>>;
  Keys read_, ignored_;
};

}  // namespace onnxport
