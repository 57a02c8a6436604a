// data.pkl of a pytorch_model.bin: any bytes give tensors inside their storages, or an ExportError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checkpoint/pickle.h"
#include "onnxport/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxport;
  try {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    for (const pickle::Tensor& tensor : pickle::parse_state_dict(bytes, "fuzz.bin")) {
      if (tensor.shape.size() != tensor.strides.size() || tensor.offset > tensor.storage_bytes) std::abort();
      std::uint64_t end = tensor.offset + size_of(tensor.dtype);
      for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
        if (tensor.shape[i] < 0 || tensor.strides[i] < 0) std::abort();
        if (tensor.shape[i] == 0) end = 0;
        if (end == 0) continue;
        end += static_cast<std::uint64_t>(tensor.shape[i] - 1) *
               static_cast<std::uint64_t>(tensor.strides[i]) * size_of(tensor.dtype);
      }
      if (end > tensor.storage_bytes) std::abort();
    }
  } catch (const ExportError&) {  // NOLINT(bugprone-empty-catch): what bad bytes shall give
  }
  return 0;
}
