/// Zip archives as written by torch.save and by tools that repack its files: stored and deflated entries,
/// with or without zip64. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
///
/// Everything in an archive is checked before it is used. Every function here throws
/// ExportError(bad_checkpoint) that names the file, the entry, the value found and the value expected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/file.h"

namespace onnxport {

/// The directory of an archive. Contents are read on demand.
class ZipArchive {
 public:
  struct Entry {
    std::string name;
    std::uint64_t header = 0;      ///< where its local header begins in the file
    std::uint64_t end = 0;         ///< where the next one, or the directory, begins
    std::uint64_t compressed = 0;  ///< bytes in the file
    std::uint64_t size = 0;        ///< bytes of content
    std::uint32_t crc = 0;
    bool deflated = false;
  };

  /// Maximum size of a directory, in bytes.
  static constexpr std::uint64_t kMaxDirectory = 100'000'000;

  explicit ZipArchive(std::shared_ptr<const File> file);

  const std::shared_ptr<const File>& file() const { return file_; }
  /// Sorted by name; no name occurs twice, and no entry overlaps another.
  const std::vector<Entry>& entries() const { return entries_; }
  /// The entry, or null.
  const Entry* find(std::string_view name) const;

  /// The position of an entry's bytes in the file: its content, if it is stored uncompressed.
  std::uint64_t offset_of(const Entry& entry) const;
  /// Passes on the content in pieces, and checks its length and checksum against the directory.
  void extract(const Entry& entry, const std::function<void(std::span<const std::byte>)>& take) const;
  /// The content of an entry of at most `limit` bytes.
  std::string read(const Entry& entry, std::uint64_t limit) const;

 private:
  std::shared_ptr<const File> file_;
  std::vector<Entry> entries_;
};

}  // namespace onnxport
