/// The hash that names a blob.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace onnxport::hub {

/// What the bytes of a blob must hash to, by its name: 64 hexadecimal digits are the SHA-256 of the bytes
/// (large files), 40 are git's hash of a blob (SHA-1 over "blob <size>\0" and the bytes). Any other name says
/// nothing of the bytes.
///
/// Computed by libcrypto, which is opened at the first use: a libcurl with TLS brings it along, and it has
/// the instructions of the processor for it.
class Digest {
 public:
  /// Throws ExportError(io) when a hash is needed and libcrypto is not there.
  Digest(std::string_view etag, std::uint64_t size);
  void update(std::span<const std::byte> bytes);
  /// Once, at the end: are these the bytes? True for a name that is no hash. `actual` gets the hash.
  bool matches(std::string& actual);

 private:
  std::string expected_;  ///< empty: nothing is computed
  std::unique_ptr<void, void (*)(void*)> context_;
};

}  // namespace onnxport::hub
