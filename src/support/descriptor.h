/// Open files of the system.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace onnxport {

/// A descriptor that is closed at the end of its scope.
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

/// Bytes that one system call writes, and a good size of buffers for copies: fits the second-level cache.
/// Linux 6 takes five times as long for pieces of 1 MiB (ext4).
inline constexpr std::size_t kPieceSize = 1U << 18U;

/// Writes at a position, as far as the system takes it: how many bytes. Where these are not all, errno says
/// why.
std::size_t write_at(int descriptor, std::uint64_t offset, std::span<const std::byte> bytes);

}  // namespace onnxport
