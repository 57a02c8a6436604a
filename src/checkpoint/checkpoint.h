/// The tensors of a checkpoint folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/gguf_info.h"
#include "onnxport/weight.h"

namespace onnxport {

struct Quantization;

/// A tensor of a checkpoint.
struct StoredTensor {
  TensorView view;
  /// Empty where `view` is all. Else its elements come from this (of the same dtype and shape): the bytes are
  /// in another order, or in another format; `view` has no file then.
  Weight weight = {};
  bool float8 = false;  ///< stored as 8-bit floats: `weight` has the values, to which a scale may belong

  Weight as_weight() const { return weight ? weight : Weight(view); }
};

/// All tensors of a folder (or single file), by key. Headers are read and checked when it is opened; weights
/// are not.
class Checkpoint {
 public:
  /// Opens the weights in a folder: model.safetensors, else the shards of model.safetensors.index.json, else
  /// the same with diffusion_pytorch_model, else pytorch_model.bin or the shards of its index, else the only
  /// .gguf file. Also takes the path of such a file. What is quantized as `quantization` says becomes
  /// computed tensors, under the keys and with the shapes that it has without. Throws
  /// ExportError(bad_checkpoint | unsupported | io); see safetensors.h, torch_file.h, quantization.h and
  /// gguf.h.
  static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& path,
                                                const Quantization& quantization);
  /// The same where nothing is quantized.
  static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& path);

  /// Names of the files that open() looks for in a folder, best first.
  static std::span<const std::string_view> file_names();

  /// From tensors; `name` stands for the file in messages. Throws ExportError(bad_checkpoint) for a key that
  /// occurs twice.
  Checkpoint(std::vector<StoredTensor> tensors, std::string name, std::shared_ptr<const GgufInfo> gguf = {},
             std::vector<std::filesystem::path> files = {});

  /// The tensor, or null. The pointer lives as long as the checkpoint.
  const TensorView* find(std::string_view key) const;
  /// A tensor of this checkpoint, as a weight. (A view alone is no address where its elements are computed:
  /// it has no file then.)
  Weight weight(const TensorView& view) const;
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

  /// The files that hold the tensors: one, or the shards of an index.
  const std::vector<std::filesystem::path>& files() const { return files_; }

  /// Of a GGUF file, whose tensors have names and layouts of their own; else null.
  const std::shared_ptr<const GgufInfo>& gguf() const { return gguf_; }

 private:
  std::vector<TensorView> tensors_;
  std::map<std::string, Weight, std::less<>> computed_;  ///< those that are no view of a file
  std::string name_;
  std::shared_ptr<const GgufInfo> gguf_;
  std::vector<std::filesystem::path> files_;
};

}  // namespace onnxport
