/// Files for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "onnxport/error.h"
#include "onnxport/export_macro.h"

namespace onnxport {

/// A regular file, open for reading by position. It is not mapped, so a file that shrinks during reading
/// causes an error and not a signal. Follows symbolic links. Several threads may read it. Bytes in memory may
/// stand for a file.
class File {
 public:
  /// Throws ExportError(io) that names the path and the reason.
  static std::shared_ptr<const File> open(const std::filesystem::path& path);
  /// Takes over an open descriptor. Messages use `name`. Throws like open().
  static std::shared_ptr<const File> adopt(std::filesystem::path name, int descriptor);
  /// Bytes in memory, which `owner` keeps alive. Messages use `name`.
  static std::shared_ptr<const File> in_memory(std::filesystem::path name, std::span<const std::byte> bytes,
                                               std::shared_ptr<const void> owner);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string name() const { return path_.filename().string(); }
  /// Size in bytes when it was opened.
  std::uint64_t size() const { return size_; }
  /// The same text for the same file under any path ("device:inode"), as long as it is open; for memory, that
  /// of its address.
  const std::string& identity() const { return identity_; }
  /// -1 for bytes in memory.
  int descriptor() const { return descriptor_; }
  /// The bytes, if they are in memory; else null.
  const std::byte* memory() const { return memory_; }

  /// Throws ExportError(io) if the file did not have these bytes when it was opened.
  void check_range(std::uint64_t offset, std::uint64_t size) const;
  /// Reads exactly `size` bytes. Throws ExportError(io) if the file ends earlier or cannot be read.
  void read(std::uint64_t offset, std::size_t size, std::byte* out) const;

 private:
  File(std::filesystem::path path, int descriptor);
  File(std::filesystem::path name, std::span<const std::byte> bytes, std::shared_ptr<const void> owner);
  std::filesystem::path path_;
  int descriptor_ = -1;
  const std::byte* memory_ = nullptr;
  std::shared_ptr<const void> owner_;  // of the memory
  std::uint64_t size_ = 0;
  std::string identity_;
};

/// The whole content of a text file. Throws ExportError(io), also if it is larger than `limit` bytes.
std::string read_text_file(const std::filesystem::path& path, std::uint64_t limit = 64'000'000);

/// "cannot <action> '<path>': no space left on device; <advice>", from an errno.
ExportError io_error(std::string_view action, const std::filesystem::path& path, int error);

}  // namespace onnxport
