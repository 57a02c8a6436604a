/// Records which keys of a checkpoint were read.
#pragma once

#include <functional>
#include <map>
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

  /// A key that was asked for in another shape.
  void mark_misfit(std::string_view key) { misfits_.emplace(key); }
  /// The keys of the base model inside of `whole` (a path of a module, or empty) are those below `base`.
  void mark_base(std::string_view whole, std::string_view base) { bases_.emplace(whole, base); }

  bool is_read(std::string_view key) const { return read_.find(key) != read_.end(); }
  bool is_misfit(std::string_view key) const { return misfits_.find(key) != misfits_.end(); }
  /// Whether the key, or a part of the tree above it, is marked as ignored.
  bool is_ignored(std::string_view key) const;

  /// Whether the key belongs to a head: it is inside of a model whose base model has a place of its own, but
  /// outside of that, and nothing was read of the module that it is in. A model without such a place has no
  /// keys of which this is known.
  bool is_of_unread_head(std::string_view key) const;

  /// Keys of the checkpoint that were neither read nor ignored and match none of the patterns (with `*`),
  /// sorted.
  std::vector<std::string> unread(const Checkpoint& checkpoint,
                                  std::span<const std::string> ignorable = {}) const;

 private:
  using Keys = std::set<std::string, std::less<>>;
  Keys read_, ignored_, misfits_;
  std::map<std::string, std::string, std::less<>> bases_;
};

}  // namespace onnxport
