#include "support/anonymous_file.h"

#include <fcntl.h>
#include <stdlib.h>  // NOLINT: mkostemp is no part of C++
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "support/descriptor.h"
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
  const std::size_t written = write_at(descriptor_, size_, bytes);
  if (written < bytes.size()) throw io_error("write a temporary file in", folder_, errno);
  size_ += written;
}

std::shared_ptr<const File> AnonymousFile::finish(std::filesystem::path name) {
  return File::adopt(std::move(name), std::exchange(descriptor_, -1));
}

}  // namespace onnxport
