/// The constant tensors of an .onnx file, for reading.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "onnxport/weight.h"

namespace onnxport::serialize {

struct StoredTensor {
  std::string name;  ///< of an initializer, or of the result of a Constant node
  std::string type;  ///< "float32", "int4", …
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  Weight weight;  ///< the content; bytes [n] for types without a DType; empty for strings
};

/// The initializers and the Constant nodes of the graph and of the graphs inside of it, in order. Large ones
/// stay on disk until they are read. Throws like read_lazy_model().
std::vector<StoredTensor> stored_tensors(const std::filesystem::path& path);

}  // namespace onnxport::serialize
