// A quantized safetensors file: any bytes give tensors that can be read whole, or an ExportError. The first
// byte chooses the method, the next two the block.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "checkpoint/checkpoint.h"
#include "checkpoint/quantization.h"
#include "checkpoint/safetensors.h"
#include "memory_file.h"
#include "onnxport/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxport;
  constexpr std::size_t kChoices = 3;
  if (size < kChoices) return 0;
  Quantization quantization{.method =
                                data[0] % 2 == 0 ? Quantization::Method::fp8 : Quantization::Method::mxfp4};
  if (data[1] != 0) quantization.block = {data[1], std::max<std::int64_t>(1, data[2])};
  const auto file = fuzz::file_of(data + kChoices, size - kChoices);
  try {
    const Checkpoint checkpoint(dequantize(safetensors::read(file), quantization, "fuzz"), "fuzz");
    for (const TensorView& view : checkpoint.tensors()) {
      const Weight weight = checkpoint.weight(view);
      if (weight.shape() != view.shape || weight.dtype() != view.dtype) std::abort();
      if (weight.numel() < 10'000) weight.to_doubles();
    }
  } catch (const ExportError& error) {
    if (error.code() != ErrorCode::bad_checkpoint && error.code() != ErrorCode::unsupported) std::abort();
  }
  return 0;
}
