#include "hub/blob_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "support/file.h"

namespace onnxport::hub {

BlobWriter::BlobWriter(std::filesystem::path path, std::string etag, std::uint64_t size)
    : path_(std::move(path)), etag_(std::move(etag)), size_(size) {
  digest_ = std::make_unique<Digest>(etag_, size_);
  file_.reset(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (file_.get() < 0) throw io_error("create", path_, errno);
  struct stat info{};
  if (::fstat(file_.get(), &info) != 0) throw io_error("read", path_, errno);
  const auto there = static_cast<std::uint64_t>(info.st_size);
  if (there > size_ || !read_back(there)) restart();
}

/// Hashes the content of the file. False if somebody has truncated it meanwhile.
bool BlobWriter::read_back(std::uint64_t size) {
  constexpr std::uint64_t kStep = 1U << 20U;
  std::vector<std::byte> buffer(std::min(kStep, size));
  while (position_ < size) {
    const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), size - position_);
    const ssize_t got = ::pread(file_.get(), buffer.data(), wanted, static_cast<off_t>(position_));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw io_error("read", path_, errno);
    if (got == 0) return false;
    digest_->update(std::span(buffer).first(static_cast<std::size_t>(got)));
    position_ += static_cast<std::uint64_t>(got);
  }
  return true;
}

void BlobWriter::restart() {
  if (::ftruncate(file_.get(), 0) != 0) throw io_error("write", path_, errno);
  position_ = 0;
  digest_ = std::make_unique<Digest>(etag_, size_);
}

bool BlobWriter::append(std::span<const std::byte> bytes) {
  if (bytes.size() > size_ - position_) return false;
  if (write_at(file_.get(), position_, bytes) < bytes.size()) throw io_error("write", path_, errno);
  digest_->update(bytes);
  position_ += bytes.size();
  return true;
}

bool BlobWriter::finish(const std::filesystem::path& name, std::string& actual) {
  if (!digest_->matches(actual)) return false;
  const int probe = ::dup(file_.get());  // what NFS and quotas report late
  if (probe < 0 || ::close(probe) != 0) throw io_error("write", path_, errno);
  if (::rename(path_.c_str(), name.c_str()) != 0) throw io_error("create", name, errno);
  return true;
}

}  // namespace onnxport::hub
