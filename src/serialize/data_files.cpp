#include "serialize/data_files.h"

#include <fmt/format.h>

#include <optional>

#include "onnxport/error.h"
#include "serialize/model_proto.h"
#include "support/text.h"

namespace onnxport::serialize {

DataFiles::DataFiles(std::filesystem::path path, const WriteOptions& options, CheckpointFiles* checkpoint)
    : path_(std::move(path)),
      threshold_(static_cast<std::uint64_t>(options.external_threshold)),
      alignment_(options.alignment),
      limit_(options.data_chunk_limit),
      checkpoint_(checkpoint) {}

DataFiles::Place DataFiles::place(const OnnxInitializer& initializer) {
  const Weight& weight = initializer.weight;
  if (checkpoint_ != nullptr) {
    if (const std::optional<std::string> stored = checkpoint_->location(weight))
      return {*stored, weight.view()->offset};
  }
  const auto [place, is_new] = places_.emplace(weight.fingerprint(), Place{});
  if (is_new) {
    File& file = file_with_room(initializer);
    place->second = {file.path.filename().string(), file.layout.size()};
    file.layout.add(weight);
  }
  return place->second;
}

/// The first file that has room, or a new one. Its layout is aligned for the tensor: to cache lines for
/// arithmetic, and to pages for mmap.
DataFiles::File& DataFiles::file_with_room(const OnnxInitializer& initializer) {
  const std::uint64_t bytes = byte_size(initializer.weight);
  const std::uint64_t by_size = bytes < (1 << 20) ? 64 : 4096;
  const std::uint64_t alignment = alignment_ == 0 ? by_size : alignment_;
  if (limit_ > 0 && bytes > limit_) {
    throw ExportError(
        ErrorCode::invalid_argument,
        fmt::format("{}: tensor '{}' has {} ({} bytes), more than the {} that a file of external data may "
                    "have, and tensors are not split; export it in fewer bits (fp16, q8, q4), or allow "
                    "larger data files",
                    path_.string(), initializer.name, text::human_bytes(bytes), bytes,
                    text::human_bytes(limit_)));
  }
  for (File& file : files_) {
    if (limit_ > 0 && file.layout.aligned(alignment) + bytes > limit_) continue;
    file.layout.align(alignment);
    return file;
  }
  const std::string number = files_.empty() ? "" : fmt::format("_{}", files_.size());
  return files_.emplace_back(File{path_.string() + number, {}});
}

}  // namespace onnxport::serialize
