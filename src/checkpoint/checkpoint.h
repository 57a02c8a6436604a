/// The tensors of a checkpoint folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/weight.h"

namespace onnxport {

/// All tensors of a folder (or single file), by key. Headers are read and checked when it is opened; weights
/// are not.
class Checkpoint {
 public:
  /// Opens the weights in a folder: model.safetensors, else the shards of model.safetensors.index.json, else
  /// the same with diffusion_pytorch_model. Also takes the path of a .safetensors or .index.json file. Throws
  /// ExportError(bad_checkpoint | unsupported | io); see safetensors.h.
  static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& path);

  /// From tensors; `name` stands for the file in messages. Throws ExportError(bad_checkpoint) for a key that
  /// occurs twice.
  Checkpoint(std::vector<TensorView> tensors, std::string name);

  /// The tensor, or null. The pointer lives as long as the checkpoint.
  const TensorView* find(std::string_view key) const;
  /// Does any key start with `prefix`?
  bool has_prefix(std::string_view prefix) const;
  /// Sorted by key.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  /// Sorted.
  std::vector<std::string> keys() const;
  /// Number of elements of all float tensors.
  std::int64_t num_parameters() const;
  /// Keys that look like `key`, best first.
  std::vector<std::string> nearest(std::string_view key, std::size_t count = 3) const;

  /// "model.safetensors" or "model.safetensors.index.json": the file that was opened, for messages.
  const std::string& name() const { return name_; }

 private:
  std::vector<TensorView> tensors_;
  std::string name_;
};

}  // namespace onnxport
