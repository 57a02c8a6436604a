/// A temporary file without a name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "support/file.h"

namespace onnxport {

/// Written once from its start, then read. It lies in the system's folder for temporary files and is gone
/// when its last user is, however the program ends. Throws ExportError(io).
class AnonymousFile {
 public:
  AnonymousFile();
  ~AnonymousFile();
  AnonymousFile(const AnonymousFile&) = delete;
  AnonymousFile& operator=(const AnonymousFile&) = delete;

  void append(std::span<const std::byte> bytes);
  /// Bytes so far.
  std::uint64_t size() const { return size_; }
  /// What was written, for reading; nothing can be appended after. `name` stands for it in messages.
  std::shared_ptr<const File> finish(std::filesystem::path name);

 private:
  std::filesystem::path folder_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace onnxport
