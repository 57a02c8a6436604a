/// A blob during its download.
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

/// The file of an unfinished download and the hash of its content. The content survives the end of the
/// process. Throws ExportError(io) if the disk fails.
class BlobWriter {
 public:
  /// Continues with the content of `path`, up to `size` bytes of a blob with this name.
  BlobWriter(std::filesystem::path path, std::string etag, std::uint64_t size);
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  /// Bytes received so far.
  std::uint64_t position() const { return position_; }
  bool is_full() const { return position_ == size_; }
  /// Discards the content.
  void restart();
  /// False, and writes nothing, if the blob would have more bytes than it should.
  bool append(std::span<const std::byte> bytes);
  /// Call it when the blob is complete. If its hash is correct, gives it its name. Otherwise returns false,
  /// and `actual` is the hash found.
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
