#include "support/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "support/fail.h"
#include "support/text.h"

namespace onnxport {

ExportError io_error(std::string_view action, const std::filesystem::path& path, int error) {
  std::string reason = std::generic_category().message(error);
  reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  const std::string_view advice = [&] {
    switch (error) {
      case ENOSPC:
      case EDQUOT:
        return "; free some space or choose another folder";
      case EFBIG:
        return "; raise the limit (`ulimit -f`) or choose another file system";
      case EACCES:
      case EPERM:
      case EROFS:
        return "; check its permissions or choose another folder";
      case ENOTDIR:
        return "; a part of the path is a file";
      case EIO:
        return "; the disk or network share is failing";
      default:
        return "";
    }
  }();
  return ExportError(ErrorCode::io,
                     fmt::format("cannot {} '{}': {}{}", action, path.string(), reason, advice));
}

std::shared_ptr<const File> File::open(const std::filesystem::path& path) {
  // With O_NONBLOCK, a named pipe is refused below and does not hang here.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) throw io_error("open", path, errno);
  return std::shared_ptr<const File>(new File(path, descriptor));
}

std::shared_ptr<const File> File::adopt(std::filesystem::path name, int descriptor) {
  return std::shared_ptr<const File>(new File(std::move(name), descriptor));
}

std::shared_ptr<const File> File::in_memory(std::filesystem::path name, std::span<const std::byte> bytes,
                                            std::shared_ptr<const void> owner) {
  return std::shared_ptr<const File>(new File(std::move(name), bytes, std::move(owner)));
}

File::File(std::filesystem::path name, std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
    : path_(std::move(name)),
      memory_(bytes.data()),
      owner_(std::move(owner)),
      size_(bytes.size()),
      identity_(fmt::format("memory:{}", static_cast<const void*>(bytes.data()))) {}

File::File(std::filesystem::path path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {
  struct stat info{};
  const int error = ::fstat(descriptor_, &info) != 0 ? errno : 0;
  if (error != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor_);
    if (error != 0) throw io_error("read", path_, error);
    fail(ErrorCode::io, "cannot read '{}': it is not a regular file", path_.string());
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
  identity_ = fmt::format("{:x}:{:x}", info.st_dev, info.st_ino);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void File::check_range(std::uint64_t offset, std::uint64_t size) const {
  if (offset <= size_ && size <= size_ - offset) return;
  fail(ErrorCode::io, "cannot read {} bytes at byte {} of '{}': the file has {} bytes", size, offset,
       path_.string(), size_);
}

void File::read(std::uint64_t offset, std::size_t size, std::byte* out) const {
  check_range(offset, size);
  if (descriptor_ < 0) {
    if (size > 0) std::memcpy(out, memory_ + offset, size);
    return;
  }
  while (size > 0) {
    const ssize_t got = ::pread(descriptor_, out, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw io_error("read", path_, errno);
    if (got == 0) {
      fail(ErrorCode::io,
           "'{}' ends at byte {}, but had {} bytes when it was opened: something "
           "is writing to it",
           path_.string(), offset, size_);
    }
    offset += static_cast<std::uint64_t>(got);
    out += got;
    size -= static_cast<std::size_t>(got);
  }
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t limit) {
  const auto file = File::open(path);
  if (file->size() > limit) {
    fail(ErrorCode::io, "'{}' has {}, expected a text file of at most {}", path.string(),
         text::human_bytes(file->size()), text::human_bytes(limit));
  }
  std::string content(file->size(), '\0');
  file->read(0, content.size(), reinterpret_cast<std::byte*>(content.data()));
  return content;
}

}  // namespace onnxport
