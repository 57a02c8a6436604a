/// The hash that names a blob.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace onnxport::hub {

/// The expected hash of a blob, from its name. 64 hexadecimal digits are the SHA-256 of the bytes (large
/// files). 40 digits are git's hash of a blob (SHA-1 over "blob <size>\0" and the bytes). Any other name is
/// not a hash.
///
/// libcrypto computes the hashes, with the processor's instructions for them. It is opened at the first use.
/// A libcurl with TLS depends on it, so it is usually installed.
class Digest {
 public:
  /// Throws ExportError(io) if a hash is needed and libcrypto is not installed.
  Digest(std::string_view etag, std::uint64_t size);
  void update(std::span<const std::byte> bytes);
  /// Call it once, at the end. Whether the bytes match; true for a name that is not a hash. `actual` gets the
  /// hash.
  bool matches(std::string& actual);

 private:
  std::string expected_;  ///< empty: nothing is computed
  std::unique_ptr<void, void (*)(void*)> context_;
};

}  // namespace onnxport::hub
