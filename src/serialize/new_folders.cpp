#include "serialize/new_folders.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace onnxport::serialize {

namespace fs = std::filesystem;

NewFolders::~NewFolders() {
  std::error_code ignored;  // a folder that someone else has put something into stays
  std::for_each(made_.rbegin(), made_.rend(), [&](const fs::path& path) { fs::remove(path, ignored); });
}

void NewFolders::make(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> missing;
  for (fs::path path = folder; !path.empty() && !fs::exists(path, error); path = path.parent_path())
    missing.push_back(path);
  made_.insert(made_.end(), missing.rbegin(), missing.rend());
  fs::create_directories(folder, error);
  if (error) throw io_error("create folder", folder, error.value());
}

void check_free_space(const std::map<fs::path, std::uint64_t>& bytes) {
  std::map<dev_t, std::pair<fs::path, std::uint64_t>> needed;  // by file system, with one of its folders
  for (const auto& [folder, count] : bytes) {
    struct stat info{};
    if (::stat(folder.c_str(), &info) != 0) throw io_error("use folder", folder, errno);
    auto& [first, sum] = needed[info.st_dev];
    if (first.empty()) first = folder;
    sum += count;
  }
  for (const auto& [device, need] : needed) onnxport::check_free_space(need.first, need.second);
}

void commit(std::deque<AtomicFile>& data_files, std::deque<AtomicFile>& model_files) {
  std::error_code ignored;
  const bool several = data_files.size() + model_files.size() > 1;
  if (several) {
    for (const AtomicFile& model : model_files) fs::remove(model.target(), ignored);
  }
  std::vector<fs::path> named;
  try {
    for (std::deque<AtomicFile>* files : {&data_files, &model_files}) {
      for (AtomicFile& file : *files) {
        file.commit();
        named.push_back(file.target());
      }
    }
  } catch (...) {
    for (const fs::path& path : named) fs::remove(path, ignored);
    throw;
  }
}

}  // namespace onnxport::serialize
