/// The record of finished exports.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "onnxport/export_many.h"

namespace onnxport::batch {

/// Marks a folder as in use while this object lives. Throws ExportError(io) if another process has it.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_ = -1;
};

/// A line of results.jsonl, and the key and the result of a line; nothing if it is damaged.
std::string line_of(const std::string& key, const ManyResult& result);
std::optional<std::pair<std::string, ManyResult>> read_line(const std::string& text);

/// results.jsonl: one line for each finished export.
class Results {
 public:
  /// Reads the results of earlier runs. The last one of each export counts; those that `drop` selects are
  /// removed from the file, and so are lines that a killed run left unfinished.
  Results(std::filesystem::path file, const std::function<bool(const ManyResult&)>& drop,
          const std::function<void(const std::string&)>& on_notice);

  /// The results by the key of the export.
  const std::map<std::string, ManyResult>& found() const { return found_; }
  /// Records one more, and returns when it is on the disk.
  void add(const std::string& key, const ManyResult& result);

 private:
  std::filesystem::path file_;
  std::map<std::string, ManyResult> found_;
};

}  // namespace onnxport::batch
