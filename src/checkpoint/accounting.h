/// Which keys of a checkpoint were asked for.
#pragma once

#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace onnxport {

/// Remembers the keys that modules read or declared as not needed, so that what is left can fail the export
/// by name. Used by one thread at a time.
class KeyAccounting {
 public:
  /// `key`: as it is stored.
  void mark_read(std::string_view key) { read_.emplace(key); }
  /// `path`: a key, or a prefix that ends before a dot ("encoder.layer.11").
  void mark_ignored(std::string_view path) { ignored_.emplace(path); }

  bool is_read(std::string_view key) const { return read_.find(key) != read_.end(); }
  /// Is the key, or a part of the tree above it, marked as ignored?
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
