#include "support/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <system_error>

#include "support/descriptor.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace {

constexpr std::size_t kBufferSize = 1U << 20U;
// If two positions have the same offset within a block, the files can share blocks, or are copied block by
// block.
constexpr std::uint64_t kBlockSize = 4096;

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// The part of temporary names that all processes share.
std::string temporary_prefix(const std::filesystem::path& target) {
  return fmt::format(".{}.", target.filename().string());
}

/// Matches `<prefix><pid>-<n>.tmp` exactly: `.a.b.1-0.tmp` belongs to `a.b`, not to `a`.
bool is_temporary_name(std::string_view name, std::string_view prefix) {
  constexpr std::string_view kSuffix = ".tmp";
  if (name.size() <= prefix.size() + kSuffix.size() || !name.starts_with(prefix) ||
      !name.ends_with(kSuffix)) {
    return false;
  }
  name.remove_prefix(prefix.size());
  name.remove_suffix(kSuffix.size());
  return name.find_first_not_of("0123456789-") == std::string_view::npos;
}

/// Whether a live process holds AtomicFile's lock. True if in doubt.
bool is_in_use(int descriptor) { return ::flock(descriptor, LOCK_EX | LOCK_NB) != 0; }

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
  std::error_code ignored;
  if (!target_.has_filename() || std::filesystem::is_directory(target_, ignored)) {
    fail(ErrorCode::io, "cannot write '{}': it is a folder, expected the name of a file", target_.string());
  }
  remove_stale();
  create();
}

void AtomicFile::create() {
  for (int n = 0;; ++n) {
    temporary_ = folder_of(target_) / fmt::format("{}{}-{}.tmp", temporary_prefix(target_), ::getpid(), n);
    descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && (errno == EEXIST || errno == EINTR)) continue;
    if (descriptor_ < 0) throw io_error("create", target_, errno);
    // Between the two calls, another process may consider the file stale. It then holds the lock, or has
    // removed the name. On a file system without locks, this cannot happen.
    struct stat info{};
    const bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (locked && ::fstat(descriptor_, &info) == 0 && info.st_nlink > 0) return;
    ::close(descriptor_);
  }
}

void AtomicFile::remove_stale() const {
  const std::string prefix = temporary_prefix(target_);
  std::error_code error;  // a folder that cannot be listed is create()'s to complain about
  std::filesystem::directory_iterator entry(folder_of(target_), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (!is_temporary_name(entry->path().filename().string(), prefix)) continue;
    const int descriptor = ::open(entry->path().c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0) continue;
    if (!is_in_use(descriptor)) ::unlink(entry->path().c_str());
    ::close(descriptor);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(descriptor_);
}

void AtomicFile::reserve(std::uint64_t bytes) {
  if (bytes == 0) return;
  const int result = ::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes));
  if (result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    throw io_error(fmt::format("reserve {} for", text::human_bytes(bytes)), target_, errno);
  }
}

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::size_t rest = bytes.size() - onnxport::write_at(descriptor_, offset, bytes);
  if (rest > 0) throw io_error(fmt::format("write {} to", text::human_bytes(rest)), target_, errno);
}

void AtomicFile::copy_from(const File& source, std::uint64_t source_offset, std::uint64_t offset,
                           std::uint64_t size) {
  source.check_range(source_offset, size);
  if (source.descriptor() < 0) return write_at(offset, {source.memory() + source_offset, size});
  // Otherwise the kernel takes twice as long as a buffer.
  const bool in_kernel = same_blocks(source_offset, offset);
  while (in_kernel && size > 0 && kernel_copy_) {
    off_t from = static_cast<off_t>(source_offset), to = static_cast<off_t>(offset);
    const ssize_t copied = ::copy_file_range(source.descriptor(), &from, descriptor_, &to, size, 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
      throw io_error(fmt::format("write {} to", text::human_bytes(size)), target_, errno);
    }
    if (copied < 0) kernel_copy_ = false;  // other file system, old kernel, …
    if (copied <= 0) break;                // 0: the source has ended, which File::read() words better
    source_offset += static_cast<std::uint64_t>(copied);
    offset += static_cast<std::uint64_t>(copied);
    size -= static_cast<std::uint64_t>(copied);
  }
  if (size == 0) return;
  const std::size_t step = static_cast<std::size_t>(std::min<std::uint64_t>(size, kPieceSize));
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(step);
  for (std::uint64_t done = 0; done < size;) {
    const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(size - done, step));
    source.read(source_offset + done, part, buffer.get());
    write_at(offset + done, {buffer.get(), part});
    done += part;
  }
}

bool AtomicFile::same_blocks(std::uint64_t source_offset, std::uint64_t offset) {
  return source_offset % kBlockSize == offset % kBlockSize;
}

void AtomicFile::append(std::span<const std::byte> bytes) {
  if (buffer_.size() + bytes.size() > kBufferSize) flush();
  if (bytes.size() >= kBufferSize) {
    write_at(position_, bytes);
    position_ += bytes.size();
  } else {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
}

void AtomicFile::flush() {
  write_at(position_, buffer_);
  position_ += buffer_.size();
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  // Some file systems (NFS, quotas) report write errors only here. The file is renamed before the lock is
  // released, so that no other process considers it stale.
  const int probe = ::dup(descriptor_);
  if (probe < 0 || ::close(probe) != 0) throw io_error("write", target_, errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) throw io_error("create", target_, errno);
  ::close(descriptor_);
  descriptor_ = -1;
}

void check_free_space(const std::filesystem::path& folder, std::uint64_t bytes) {
  struct statvfs info{};
  int result = 0;
  do {
    result = ::statvfs(folder.c_str(), &info);
  } while (result != 0 && errno == EINTR);
  if (result != 0) throw io_error("use folder", folder, errno);
  if (info.f_blocks == 0) return;  // a file system that does not count
  const std::uint64_t available = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  if (available < bytes) {
    fail(ErrorCode::io,
         "not enough space in '{}': {} needed, {} free; free some space or choose another folder",
         folder.string(), text::human_bytes(bytes), text::human_bytes(available));
  }
}

}  // namespace onnxport
