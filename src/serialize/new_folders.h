/// Folders and files that appear together or not at all.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <vector>

#include "support/atomic_file.h"

namespace onnxport::serialize {

/// Makes folders and their parents, and removes the new ones again unless keep() is called.
class NewFolders {
 public:
  NewFolders() = default;
  ~NewFolders();
  NewFolders(const NewFolders&) = delete;
  NewFolders& operator=(const NewFolders&) = delete;

  /// Throws ExportError(io).
  void make(const std::filesystem::path& folder);
  void keep() { made_.clear(); }

 private:
  std::vector<std::filesystem::path> made_;  ///< a folder before those inside of it
};

/// Throws ExportError(io) if a file system has less space than its folders need together. `bytes`: by folder,
/// which must exist.
void check_free_space(const std::map<std::filesystem::path, std::uint64_t>& bytes);

/// Gives all files their names, the models last. If the process is killed in between, there must be no old
/// model with new data and, if possible, no models of an export without the others. Throws ExportError(io),
/// and then removes the new files.
void commit(std::deque<AtomicFile>& data_files, std::deque<AtomicFile>& model_files);

}  // namespace onnxport::serialize
