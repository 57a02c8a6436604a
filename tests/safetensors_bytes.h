/// safetensors files for tests.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace onnxport::test {

inline std::string length_prefix(std::uint64_t length) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(length >> (8 * i) & 0xff);
  return bytes;
}

/// A safetensors file from its header and the size of its data; the data counts up.
inline std::string safetensors_file(std::string_view header, std::size_t data) {
  std::string bytes = length_prefix(header.size()) + std::string(header);
  for (std::size_t i = 0; i < data; ++i) bytes += static_cast<char>(i & 0xff);
  return bytes;
}

/// A file of float32 tensors.
inline std::string float_file(const std::vector<std::pair<std::string, std::vector<std::int64_t>>>& tensors) {
  std::string header;
  std::size_t end = 0;
  for (const auto& [key, shape] : tensors) {
    std::size_t bytes = 4;
    for (const std::int64_t extent : shape) bytes *= static_cast<std::size_t>(extent);
    header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})",
                          header.empty() ? "" : ",", key, fmt::join(shape, ","), end, end + bytes);
    end += bytes;
  }
  return safetensors_file("{" + header + "}", end);
}

}  // namespace onnxport::test
