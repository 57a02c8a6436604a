/// Files that are written completely or not at all.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "support/file.h"

namespace onnxport {

/// A file that appears under its name only when it is complete. Until commit(), it has a hidden temporary
/// name (`.<name>.<pid>-<n>.tmp`) in the same folder. Without commit(), the destructor removes it. A killed
/// process leaves the temporary file behind, and the next AtomicFile for the same target removes it. An
/// flock(2) marks temporary files in use.
///
/// All errors are ExportError(io) with the path of the target and advice. The folder must exist.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::filesystem::path& target() const { return target_; }
  /// The temporary path before commit(). The file is complete there after flush().
  const std::filesystem::path& temporary() const { return temporary_; }

  /// Reserves disk space if the file system supports it, so that a full disk is noticed before the work. Does
  /// not change the size of the file.
  void reserve(std::uint64_t bytes);

  /// Writes at a position; gaps read as zeros. Several threads may write disjoint ranges concurrently.
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// Copies bytes of another file, inside the kernel if it supports that and the block boundaries of both
  /// files match. As thread-safe as write_at().
  void copy_from(const File& source, std::uint64_t source_offset, std::uint64_t offset, std::uint64_t size);

  /// Whether the block boundaries of two files match at these positions.
  static bool same_blocks(std::uint64_t source_offset, std::uint64_t offset);

  /// Writes after the last append(), buffered. One thread at a time.
  void append(std::span<const std::byte> bytes);
  void append(std::string_view text) { append(std::as_bytes(std::span(text))); }
  /// The position of the next append().
  std::uint64_t position() const { return position_ + buffer_.size(); }
  /// Writes out the buffer of append().
  void flush();

  /// Gives the file its name and replaces any older file. The data is not forced to disk. The kernel keeps it
  /// if the process dies; only a crash of the machine can lose it.
  void commit();

 private:
  void create();
  void remove_stale() const;

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  std::atomic<bool> kernel_copy_ = true;  ///< until the file system refuses
  std::uint64_t position_ = 0;            ///< end of what append() has written out
  std::vector<std::byte> buffer_;
};

/// Throws ExportError(io) if the file system of `folder` has less than `bytes` free.
void check_free_space(const std::filesystem::path& folder, std::uint64_t bytes);

}  // namespace onnxport
