#include "checkpoint/torch_file.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "checkpoint/pickle.h"
#include "checkpoint/zip.h"
#include "support/anonymous_file.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/text.h"

namespace onnxport::torch_file {
namespace {

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;
constexpr std::string_view kPickle = "/data.pkl";

[[noreturn]] void fail_old(const File& file, std::string_view format) {
  fail(kBad,
       "{} is in the {} that torch.save wrote before PyTorch 1.6, expected a zip file; convert it to "
       "safetensors: load "
       "it with transformers and call model.save_pretrained(folder, safe_serialization=True)",
       file.name(), format);
}

/// Refuses files that are not zip files, with a message that helps to fix the problem.
void check_beginning(const File& file) {
  using namespace std::string_view_literals;
  std::string beginning(std::min<std::uint64_t>(512, file.size()), '\0');
  file.read(0, beginning.size(), reinterpret_cast<std::byte*>(beginning.data()));
  if (beginning.starts_with("PK\x03\x04"sv)) return;
  if (beginning.starts_with("version https://git-lfs"sv)) {
    fail(kBad, "{} is a git-lfs pointer, not the weights; run `git lfs pull` in its folder", file.name());
  }
  // The pickle of the number 0x1950a86a20f9469cfc6c.
  if (beginning.starts_with("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv)) {
    fail_old(file, "sequence of pickles");
  }
  if (std::string_view(beginning)
          .substr(std::min<std::size_t>(257, beginning.size()))
          .starts_with("ustar"sv)) {
    fail_old(file, "tar format");
  }
  fail(kBad, "{} ({} bytes) does not begin like a file of torch.save; download it again", file.name(),
       file.size());
}

/// "<folder>" of "<folder>/data.pkl".
std::string find_folder(const ZipArchive& archive) {
  std::optional<std::string> folder;
  for (const ZipArchive::Entry& entry : archive.entries()) {
    const std::size_t slash = entry.name.find('/');
    if (slash == std::string::npos || std::string_view(entry.name).substr(slash) != kPickle) continue;
    if (folder) {
      fail(kBad, "{} has two entries data.pkl, in '{}' and '{}', expected one", archive.file()->name(),
           printable(*folder), printable(entry.name.substr(0, slash)));
    }
    folder = entry.name.substr(0, slash);
  }
  if (!folder) {
    fail(kBad, "{} is a zip file without entry <folder>/data.pkl, so torch.save did not write it",
         archive.file()->name());
  }
  return *folder;
}

bool is_contiguous(const pickle::Tensor& tensor) {
  std::int64_t expected = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] == 1) continue;
    if (tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

/// A tensor in the order of its storage.
struct Described {
  TensorView view;
  std::vector<std::int64_t> axes = {};  ///< empty, or the tensor is `view` permuted by these

  StoredTensor stored() && {
    if (axes.empty()) return {std::move(view)};
    const Weight weight = Weight(view).permute(std::move(axes));
    return {{.key = std::move(view.key), .dtype = view.dtype, .shape = weight.shape()}, weight};
  }
};

/// A tensor without its position in the file.
Described describe(const pickle::Tensor& tensor, const std::string& file) {
  Described stored{.view = {.key = tensor.key, .dtype = tensor.dtype, .shape = tensor.shape}};
  const std::size_t rank = tensor.shape.size();
  const bool empty = std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
  if (empty || is_contiguous(tensor)) return stored;

  // The axes in the order of the bytes: longest strides first. Axes of extent 1 may be anywhere.
  std::vector<std::size_t> order(rank);
  for (std::size_t i = 0; i < rank; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const bool a_is_one = tensor.shape[a] == 1, b_is_one = tensor.shape[b] == 1;
    return a_is_one != b_is_one ? b_is_one : !a_is_one && tensor.strides[a] > tensor.strides[b];
  });
  pickle::Tensor sorted;
  stored.axes.resize(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    sorted.shape.push_back(tensor.shape[order[i]]);
    sorted.strides.push_back(tensor.strides[order[i]]);
    stored.axes[order[i]] = static_cast<std::int64_t>(i);
  }
  if (!is_contiguous(sorted)) {
    fail(kBad,
         "tensor '{}' in {} of shape {} has strides {}: its elements repeat or have gaps, expected each "
         "element once; call .contiguous() on it before torch.save",
         printable(tensor.key), file, text::shape_text(tensor.shape), text::shape_text(tensor.strides));
  }
  stored.view.shape = std::move(sorted.shape);
  return stored;
}

}  // namespace

std::vector<StoredTensor> read(const std::shared_ptr<const File>& file) {
  check_beginning(*file);
  const ZipArchive archive(file);
  const std::string name = file->name();
  const std::string folder = find_folder(archive);
  if (archive.find(folder + "/constants.pkl") != nullptr) {
    fail(kBad, "{} is a program saved by torch.jit.save, expected a state dict saved by torch.save", name);
  }
  if (const ZipArchive::Entry* order = archive.find(folder + "/byteorder")) {
    if (const std::string text = archive.read(*order, 64); text != "little") {
      fail(kBad, "{} has the byte order '{}', expected 'little'", name, printable(text));
    }
  }
  const std::string bytes = archive.read(*archive.find(folder + std::string(kPickle)), pickle::kMaxBytes);

  std::map<std::string_view, std::uint64_t> offsets;  // of storages: in the file, or among the extracted ones
  std::optional<AnonymousFile> extracted;
  std::vector<Described> tensors;
  std::vector<std::size_t> waiting;  // for the file of what is extracted
  for (const pickle::Tensor& tensor : pickle::parse_state_dict(bytes, name)) {
    const std::string path = folder + "/data/" + std::string(tensor.storage.substr(0, pickle::kMaxKey));
    const ZipArchive::Entry* entry = archive.find(path);
    if (entry == nullptr) {
      fail(kBad, "tensor '{}' in {} is in entry '{}', which does not exist", printable(tensor.key), name,
           printable(path));
    }
    if (entry->size != tensor.storage_bytes) {
      fail(kBad, "tensor '{}' in {} is in entry '{}' of {} bytes, expected {}", printable(tensor.key), name,
           printable(path), entry->size, tensor.storage_bytes);
    }
    Described stored = describe(tensor, name);
    const auto [place, is_new] = offsets.try_emplace(tensor.storage, 0);
    if (is_new && !entry->deflated) place->second = archive.offset_of(*entry);
    if (is_new && entry->deflated) {
      if (!extracted) extracted.emplace();
      place->second = extracted->size();
      archive.extract(*entry, [&](std::span<const std::byte> piece) { extracted->append(piece); });
    }
    stored.view.offset = place->second + tensor.offset;
    if (entry->deflated) {
      waiting.push_back(tensors.size());
    } else {
      stored.view.file = file;
    }
    tensors.push_back(std::move(stored));
  }
  if (extracted) {
    const auto content = extracted->finish(file->path());
    for (const std::size_t i : waiting) tensors[i].view.file = content;
  }
  std::vector<StoredTensor> result;
  result.reserve(tensors.size());
  for (Described& tensor : tensors) result.push_back(std::move(tensor).stored());
  return result;
}

}  // namespace onnxport::torch_file
