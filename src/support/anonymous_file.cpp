#include "support/anonymous_file.h"

#include <fcntl.h>
#include <stdlib.h>  // NOLINT: mkostemp is no part of C++
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "support/fail.h"

namespace onnxport {

AnonymousFile::AnonymousFile() {
  std::error_code error;
  folder_ = std::filesystem::temp_directory_path(error);
  if (error) throw io_error("use the folder for temporary files", folder_, error.value());
  std::string name = (folder_ / "onnxport-XXXXXX").string();
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) throw io_error("create a file in", folder_, errno);
  ::unlink(name.c_str());
}

AnonymousFile::~AnonymousFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void AnonymousFile::append(std::span<const std::byte> bytes) {
  if (descriptor_ < 0) fail(ErrorCode::internal, "a temporary file was appended to after its end");
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw io_error("write a temporary file in", folder_, errno);
    size_ += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

std::shared_ptr<const File> AnonymousFile::finish(std::filesystem::path name) {
  return File::adopt(std::move(name), std::exchange(descriptor_, -1));
}

}  // namespace onnxport
