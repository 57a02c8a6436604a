/// A temporary file without a name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "support/file.h"

namespace onnxport {

/// It is written once from its start, then read. It is in the system's folder for temporary files, and
/// disappears with its last user, even if the program crashes. Throws ExportError(io).
class AnonymousFile {
 public:
  AnonymousFile();
  ~AnonymousFile();
  AnonymousFile(const AnonymousFile&) = delete;
  AnonymousFile& operator=(const AnonymousFile&) = delete;

  void append(std::span<const std::byte> bytes);
  /// Bytes so far.
  std::uint64_t size() const { return size_; }
  /// The written content, for reading. Nothing can be appended afterwards. Messages use `name`.
  std::shared_ptr<const File> finish(std::filesystem::path name);

 private:
  std::filesystem::path folder_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace onnxport
