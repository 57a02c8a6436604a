#include "checkpoint/live_weights.h"

#include <map>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

#include "onnxport/live_weights.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// The folders of this process that have such weights.
struct Folders {
  std::mutex mutex;
  std::map<std::string, std::vector<StoredTensor>> tensors;

  static Folders& all() {
    static Folders folders;
    return folders;
  }
};

std::string identity(const fs::path& folder) {
  std::error_code error;
  const fs::path path = fs::canonical(folder, error);
  return error ? std::string() : path.string();
}

StoredTensor store(LiveTensor tensor) {
  TensorView view{.key = std::move(tensor.key), .dtype = tensor.dtype, .shape = std::move(tensor.shape)};
  if (view.bytes() != tensor.bytes.size()) {
    fail(ErrorCode::bad_checkpoint, "tensor '{}' of {} has {} bytes, expected {} for {} {}", view.key,
         kLiveName, tensor.bytes.size(), view.bytes(), to_string(view.dtype), text::shape_text(view.shape));
  }
  view.file = File::in_memory(kLiveName, tensor.bytes, std::move(tensor.owner));
  return {.view = std::move(view)};
}

}  // namespace

LiveWeights::LiveWeights(const fs::path& folder, std::vector<LiveTensor> tensors)
    : folder_(identity(folder)) {
  if (folder_.empty())
    fail(ErrorCode::invalid_argument, "the folder of {} does not exist: '{}'", kLiveName, folder.string());
  std::vector<StoredTensor> stored;
  stored.reserve(tensors.size());
  for (LiveTensor& tensor : tensors) stored.push_back(store(std::move(tensor)));
  Folders& folders = Folders::all();
  const std::lock_guard lock(folders.mutex);
  if (!folders.tensors.emplace(folder_, std::move(stored)).second)
    fail(ErrorCode::invalid_argument, "'{}' already is the folder of a model in memory", folder_);
}

LiveWeights::~LiveWeights() {
  std::vector<StoredTensor> tensors;  // released without the lock: their owners may come back here
  Folders& folders = Folders::all();
  const std::lock_guard lock(folders.mutex);
  const auto found = folders.tensors.find(folder_);
  if (found == folders.tensors.end()) return;
  tensors = std::move(found->second);
  folders.tensors.erase(found);
}

std::optional<std::vector<StoredTensor>> live_tensors(const fs::path& folder) {
  Folders& folders = Folders::all();
  const std::lock_guard lock(folders.mutex);
  if (folders.tensors.empty()) return {};
  const auto found = folders.tensors.find(identity(folder));
  if (found == folders.tensors.end()) return {};
  return found->second;
}

}  // namespace onnxport
