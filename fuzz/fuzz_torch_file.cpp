// pytorch_model.bin: any bytes give tensors inside the file, or an ExportError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "checkpoint/torch_file.h"
#include "memory_file.h"
#include "onnxport/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxport;
  const auto file = fuzz::file_of(data, size);
  try {
    for (const StoredTensor& tensor : torch_file::read(file)) {
      const TensorView& view = tensor.view;
      if (!tensor.weight) view.file->check_range(view.offset, view.bytes());
      const Weight weight = tensor.weight ? tensor.weight : Weight(view);
      if (weight.shape() != view.shape || weight.dtype() != view.dtype) std::abort();
      if (weight.numel() > 0 && weight.numel() < 1'000) weight.to_doubles();
    }
  } catch (const ExportError& error) {
    if (error.code() != ErrorCode::bad_checkpoint) std::abort();
  }
  return 0;
}
