/// The parts of protobuf's wire format that are needed for messages that are too large for memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "onnxport/error.h"
#include "support/file.h"

namespace onnxport::serialize {

enum class WireType : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

inline void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

/// The tag and length before the bytes of a sub-message, string or payload.
inline std::string bytes_prefix(int field, std::uint64_t size) {
  std::string out;
  append_varint(out, static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(WireType::bytes));
  append_varint(out, size);
  return out;
}

/// Reads a file forwards through a small buffer, without reading skipped ranges. Every access is limited by
/// the end of its message.
class WireReader {
 public:
  explicit WireReader(const File& file) : file_(file) {}

  std::uint64_t size() const { return file_.size(); }
  std::uint64_t position() const { return position_; }

  std::uint64_t varint(std::uint64_t end) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(next(end));
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number has more than ten bytes");
  }

  /// Appends `count` bytes to `out`.
  void read(std::string& out, std::uint64_t count, std::uint64_t end) {
    if (count > end - position_) fail("it ends in the middle of a field");
    while (count > 0) {
      const std::string_view ready = buffered();
      const std::string_view part = ready.substr(0, count);
      out += part;
      position_ += part.size();
      count -= part.size();
    }
  }

  void skip_to(std::uint64_t position) { position_ = position; }

  [[noreturn]] void fail(std::string_view reason) const {
    throw ExportError(ErrorCode::io, file_.path().string() + " is not an onnx model, or is truncated: " +
                                         std::string(reason) + " (near byte " + std::to_string(position_) +
                                         " of " + std::to_string(size()) + ")");
  }

 private:
  char next(std::uint64_t end) {
    if (position_ >= end) fail("it ends in the middle of a field");
    const char byte = buffered().front();
    ++position_;
    return byte;
  }

  /// Bytes from the position on; at least one, unless at the end of the file.
  std::string_view buffered() {
    if (position_ < buffer_begin_ || position_ >= buffer_begin_ + buffer_.size()) {
      buffer_.resize(std::min<std::uint64_t>(buffer_size, size() - position_));
      file_.read(position_, buffer_.size(), reinterpret_cast<std::byte*>(buffer_.data()));
      buffer_begin_ = position_;
    }
    return std::string_view(buffer_).substr(position_ - buffer_begin_);
  }

  static constexpr std::size_t buffer_size = 16 * 1024;
  const File& file_;
  std::uint64_t position_ = 0;
  std::uint64_t buffer_begin_ = 0;
  std::string buffer_;
};

}  // namespace onnxport::serialize
