/// File descriptors.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace onnxport {

/// A file descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() { reset(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return value_; }
  void reset(int value = -1) {
    if (value_ >= 0) ::close(value_);
    value_ = value;
  }

 private:
  int value_ = -1;
};

/// Bytes per write call, and a good size of copy buffers, because it fits into the second-level cache. Linux
/// 6 takes five times as long for pieces of 1 MiB (ext4).
inline constexpr std::size_t kPieceSize = 1U << 18U;

/// Writes at a position and returns the number of bytes written. If these are not all, errno has the reason.
std::size_t write_at(int descriptor, std::uint64_t offset, std::span<const std::byte> bytes);

}  // namespace onnxport
