/// Pieces of the files that torch.save writes, byte by byte.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onnxport::torch_bytes {

using Dims = std::vector<std::int64_t>;

/// Bytes of a little-endian number; those beyond the eighth are zeros.
inline std::string le(std::uint64_t value, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < std::min<std::size_t>(size, 8); ++i) {
    bytes[i] = static_cast<char>(value >> (8 * i) & 0xff);
  }
  return bytes;
}

inline std::string text(std::string_view value) { return "X" + le(value.size(), 4) + std::string(value); }
inline std::string integer(std::int64_t value) {
  if (value >= 0 && value < 256) return "K" + le(static_cast<std::uint64_t>(value), 1);
  return "\x8a\x08" + le(static_cast<std::uint64_t>(value), 8);
}
inline std::string global(std::string_view module, std::string_view name) {
  return fmt::format("c{}\n{}\n", module, name);
}
inline std::string tuple(const std::vector<std::string>& items) {
  std::string bytes = "(";
  for (const std::string& item : items) bytes += item;
  return bytes + "t";
}
inline std::string integers(const Dims& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}
inline const std::string kOrderedDict = global("collections", "OrderedDict") + ")R";

inline std::string storage(std::string_view name, std::int64_t count, std::string_view type = "FloatStorage",
                           std::string_view module = "torch") {
  return tuple({text("storage"), global(module, type), text(name), text("cpu"), integer(count)}) + "Q";
}
inline std::string tensor(const std::string& from, std::int64_t offset, const Dims& shape,
                          const Dims& strides) {
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({from, integer(offset), integers(shape), integers(strides), "\x89", kOrderedDict}) + "R";
}

/// A whole pickle of an OrderedDict.
inline std::string pickled(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string bytes = "\x80\x02" + kOrderedDict + "q" + std::string(1, '\0') + "(";
  for (const auto& [key, value] : items) bytes += text(key) + value;
  return bytes + "u" + "}" + text("_metadata") + kOrderedDict + "sb.";
}

/// The end of an archive. With zip64 the old record says "see there" everywhere.
inline std::string zip_end(std::uint64_t count, std::uint64_t size, std::uint64_t offset, bool zip64) {
  std::string bytes;
  if (zip64) {
    bytes += "PK\x06\x06" + le(44, 8) + le(45, 2) + le(45, 2) + le(0, 4) + le(0, 4) + le(count, 8) +
             le(count, 8) + le(size, 8) + le(offset, 8);
    bytes += "PK\x06\x07" + le(0, 4) + le(offset + size, 8) + le(1, 4);
    count = 0xffff;
    size = offset = 0xffffffff;
  }
  return bytes + "PK\x05\x06" + le(0, 4) + le(count, 2) + le(count, 2) + le(size, 4) + le(offset, 4) +
         le(0, 2);
}

}  // namespace onnxport::torch_bytes
