/// A blob that grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "hub/digest.h"
#include "support/descriptor.h"

namespace onnxport::hub {

/// The file of an unfinished download and the hash of what it holds. What it holds stays when the process
/// ends, however it ends. Throws ExportError(io) when the disk fails.
class BlobWriter {
 public:
  /// Goes on with what `path` holds, up to `size` bytes of a blob with this name.
  BlobWriter(std::filesystem::path path, std::string etag, std::uint64_t size);
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  /// Bytes that are there.
  std::uint64_t position() const { return position_; }
  bool is_full() const { return position_ == size_; }
  /// Throws away what is there.
  void restart();
  /// False when these are more bytes than the blob has; then none is written.
  bool append(std::span<const std::byte> bytes);
  /// Once it is full: gives it its name when the bytes are right. Else false, and `actual` is what they hash
  /// to.
  bool finish(const std::filesystem::path& name, std::string& actual);

 private:
  bool read_back(std::uint64_t size);
  std::filesystem::path path_;
  std::string etag_;
  std::uint64_t size_;
  std::uint64_t position_ = 0;
  std::unique_ptr<Digest> digest_;
  Descriptor file_;
};

}  // namespace onnxport::hub
