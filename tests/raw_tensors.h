/// Tensors as bytes, with dtypes that only safetensors has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace onnxport::test {

namespace fs = std::filesystem;
using Dims = std::vector<std::int64_t>;
using Bytes = std::vector<std::byte>;
using nlohmann::json;

inline std::int64_t count_of(const Dims& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

/// A tensor of a safetensors file, with the name of its dtype there.
struct Raw {
  std::string key, dtype;
  Dims shape;
  Bytes bytes;
};

template <class T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// `count` elements of `size` bytes, all zero.
inline Raw zeros(std::string key, std::string dtype, Dims shape, std::int64_t size) {
  const auto bytes = static_cast<std::size_t>(count_of(shape) * size);
  return {std::move(key), std::move(dtype), std::move(shape), Bytes(bytes)};
}

inline void write_raw(const fs::path& path, const std::vector<Raw>& tensors) {
  json header = json::object();
  std::size_t end = 0;
  for (const Raw& tensor : tensors) {
    header[tensor.key] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {end, end + tensor.bytes.size()}}};
    end += tensor.bytes.size();
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&length), sizeof length) << text;
  for (const Raw& tensor : tensors) {
    out.write(reinterpret_cast<const char*>(tensor.bytes.data()),
              static_cast<std::streamsize>(tensor.bytes.size()));
  }
}

}  // namespace onnxport::test
