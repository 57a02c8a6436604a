#include "support/temp_folder.h"

#include <stdlib.h>  // NOLINT: mkdtemp is POSIX

#include <cerrno>
#include <string>
#include <system_error>

#include "support/file.h"

namespace onnxport {

TempFolder::TempFolder() {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) throw io_error("use the folder for temporary files", parent, error.value());
  std::string name = (parent / "onnxport-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw io_error("create a folder in", parent, errno);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace onnxport
