// The header of a .safetensors file: any bytes give tensors inside the file, or an ExportError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "checkpoint/safetensors.h"
#include "onnxport/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxport;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const std::uint64_t length =
        safetensors::parse_header_length(bytes.substr(0, 64), size, "fuzz.safetensors");
    std::uint64_t covered = 8 + length;
    for (const auto& [view, float8] :
         safetensors::parse_header(bytes.substr(8, length), size, "fuzz.safetensors")) {
      if (float8 && view.dtype != DType::u8) std::abort();
      if (view.offset != covered) std::abort();
      covered += view.bytes();
      const Weight weight(view);  // shapes that were accepted never overflow
      if (weight.numel() > 0 && weight.shape().size() > 1) {
        weight.slice(-1, 0, 1).reshape({weight.numel() / weight.shape().back()});
      }
    }
    if (covered != size) std::abort();
  } catch (const ExportError&) {  // NOLINT(bugprone-empty-catch): what bad bytes shall give
  }
  return 0;
}
