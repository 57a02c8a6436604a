/// GGUF files, byte by byte.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/gguf.h"
#include "errors.h"
#include "onnxport/error.h"
#include "support/temp_folder.h"

namespace onnxport::test {

using Dims = std::vector<std::int64_t>;

/// Bytes of a little-endian number.
inline std::string le(std::uint64_t value, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}
inline std::string text(std::string_view value) { return le(value.size(), 8) + std::string(value); }
inline std::string floats(const std::vector<float>& values) {
  std::string bytes(values.size() * 4, '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

enum Type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, str, array, u64, i64, f64 };

inline std::string entry(std::string_view key, Type type, const std::string& value) {
  return text(key) + le(type, 4) + value;
}
inline std::string array_of(Type type, std::uint64_t count, const std::string& values) {
  return le(type, 4) + le(count, 8) + values;
}

/// A file of tensors that lie one behind the other.
struct Writer {
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  std::vector<std::string> entries;
  std::string infos, data;
  std::uint64_t tensors = 0;

  /// `extents`: fastest first, as in the file.
  Writer& tensor(std::string_view name, const Dims& extents, std::uint32_t type, const std::string& bytes) {
    infos += text(name) + le(extents.size(), 4);
    for (const std::int64_t extent : extents) infos += le(static_cast<std::uint64_t>(extent), 8);
    infos += le(type, 4) + le(data.size(), 8);
    data += bytes;
    pad(data);
    ++tensors;
    return *this;
  }
  Writer& with(std::string_view key, Type type, const std::string& value) {
    entries.push_back(entry(key, type, value));
    return *this;
  }
  std::string header() const {
    std::string bytes = "GGUF" + le(version, 4) + le(tensors, 8) + le(entries.size(), 8);
    for (const std::string& one : entries) bytes += one;
    return bytes + infos;
  }
  std::string bytes() const {
    std::string all = header();
    pad(all);
    return all + data;
  }
  void pad(std::string& bytes) const { bytes.resize((bytes.size() + alignment - 1) / alignment * alignment); }
};

class GgufTest : public testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_.path() / name, std::ios::binary) << bytes;
    return folder_.path() / name;
  }
  gguf::Contents read(const std::string& bytes) const { return gguf::read(write("m.gguf", bytes)); }
  std::string error(const std::string& bytes, ErrorCode code = ErrorCode::bad_checkpoint) const {
    return error_of([&] { read(bytes); }, code);
  }
  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  TempFolder folder_;
};

inline Weight weight_of(const StoredTensor& tensor) {
  return tensor.weight ? tensor.weight : Weight(tensor.view);
}

}  // namespace onnxport::test
