// GGUF files: any bytes give tensors inside the file, or an ExportError; and so does a model's configuration
// from them, and the weights under their original keys.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "checkpoint/gguf.h"
#include "exporter/gguf_model.h"
#include "onnxport/error.h"
#include "onnxport/tasks_manager.h"
#include "support/file.h"

namespace {

using namespace onnxport;

std::shared_ptr<const File> file_of(const std::uint8_t* data, std::size_t size) {
  const int descriptor = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (descriptor < 0 || ::write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  return File::adopt("fuzz.gguf", descriptor);
}

void read_all(const Weight& weight) {
  constexpr std::int64_t kMost = 100'000;
  if (weight.numel() > kMost) return;
  std::vector<std::byte> bytes(static_cast<std::size_t>(weight.numel()) * size_of(weight.dtype()));
  weight.read(0, weight.numel(), bytes.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    gguf::Contents contents = gguf::read_part(file_of(data, size));
    for (const StoredTensor& tensor : contents.tensors) {
      if (!tensor.weight) tensor.view.file->check_range(tensor.view.offset, tensor.view.bytes());
      const Weight weight = tensor.weight ? tensor.weight : Weight(tensor.view);
      if (weight.shape() != tensor.view.shape || weight.dtype() != tensor.view.dtype) std::abort();
      read_all(weight);
    }
    const auto info = std::make_shared<const GgufInfo>(std::move(contents.info));
    const TasksManager& tasks = TasksManager::instance();
    const PretrainedConfig config = exporter::config_from(tasks, *info);
    const Checkpoint stored(std::move(contents.tensors), "fuzz.gguf", info);
    const auto restored = exporter::restore(stored, *tasks.get_definition(config.model_type()), config);
    for (const TensorView& view : restored->tensors()) read_all(restored->weight(view));
  } catch (const ExportError& error) {
    if (error.code() == ErrorCode::internal || error.code() == ErrorCode::io) std::abort();
  }
  return 0;
}
