/// A temporary folder.
#pragma once

#include <filesystem>

namespace onnxport {

/// A new, empty folder in the system's folder for temporary files. It is removed with its content at the end
/// of its scope. Throws ExportError(io).
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
