/// A fixture for weights in files of their own.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "onnxport/weight.h"
#include "raw_tensors.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport::test {

class StoredWeights : public testing::Test {
 protected:
  template <class T>
  Weight stored(DType dtype, const Dims& shape, const std::vector<T>& values) {
    const fs::path path = folder_.path() / std::to_string(count_++);
    const Bytes bytes = bytes_of(values);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return {TensorView{.key = "w", .dtype = dtype, .shape = shape, .file = File::open(path), .offset = 0}};
  }

  /// A random number in [0, end).
  std::int64_t below(std::int64_t end) {
    return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(end));
  }

  std::mt19937_64 random_{7};
  TempFolder folder_;
  int count_ = 0;
};

}  // namespace onnxport::test
