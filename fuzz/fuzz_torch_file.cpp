// pytorch_model.bin: any bytes give entries and tensors inside the file, or an ExportError.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "checkpoint/torch_file.h"
#include "checkpoint/zip.h"
#include "onnxport/error.h"
#include "support/file.h"

namespace {

std::shared_ptr<const onnxport::File> file_of(const std::uint8_t* data, std::size_t size) {
  const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (descriptor < 0 || ::write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  return onnxport::File::adopt("fuzz.bin", descriptor);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace onnxport;
  const auto file = file_of(data, size);
  try {
    const ZipArchive archive(file);
    for (const ZipArchive::Entry& entry : archive.entries()) {
      try {
        const std::uint64_t begin = archive.offset_of(entry);
        if (begin > size || entry.compressed > size - begin) std::abort();
        if (archive.read(entry, 1'000'000).size() != entry.size) std::abort();
      } catch (const ExportError&) {  // NOLINT(bugprone-empty-catch): the other entries may be good
      }
    }
  } catch (const ExportError&) {  // NOLINT(bugprone-empty-catch): what bad bytes shall give
  }
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
