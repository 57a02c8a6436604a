/// Checkpoints without weights: a true header over a sparse file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "onnxport/dtype.h"

namespace onnxport::test {

struct HollowTensor {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;
  std::string stored_as = {};  // a name that only files have, such as F8_E4M3, for a dtype of the same size
};

/// Writes a safetensors file whose data are holes, so that its size on disk does not depend on the tensors.
/// The first bytes of float tensors differ, like those of real ones.
void write_hollow_safetensors(const std::filesystem::path& file, const std::vector<HollowTensor>& tensors);

}  // namespace onnxport::test
