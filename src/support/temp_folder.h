/// A folder for a while.
#pragma once

#include <filesystem>

namespace onnxport {

/// A fresh, empty folder in the system's place for temporary files, removed with all in it at the end of its
/// scope. Throws ExportError(io).
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace onnxport
