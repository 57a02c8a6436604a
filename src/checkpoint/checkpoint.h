/// The tensors of a checkpoint folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "onnxport/gguf_info.h"
#include "onnxport/weight.h"

namespace onnxport {

struct Quantization;

/// A tensor of a checkpoint.
struct StoredTensor {
  TensorView view;
  /// Empty if `view` is the whole tensor. Otherwise the elements come from this weight, of the same dtype and
  /// shape, because the bytes have another order or format; `view` then has no file.
  Weight weight = {};
  bool float8 = false;  ///< stored as 8-bit floats: `weight` has the values, and a scale may belong to them

  Weight as_weight() const { return weight ? weight : Weight(view); }
};

/// All tensors of a folder (or single file), by key. Opening it reads and checks headers, but not weights.
class Checkpoint {
 public:
  /// Opens the weights in a folder: model.safetensors, else the shards of model.safetensors.index.json, else
  /// the same with diffusion_pytorch_model, else pytorch_model.bin or the shards of its index, else the only
  /// .gguf file. Weights in memory come before all of them (LiveWeights). With a `variant`, only the files of
  /// that variant (weight_files.h). Also takes the path of such a file. Tensors that are quantized as
  /// described by `quantization` become computed tensors, with the keys and shapes that they have without
  /// quantization. Throws ExportError(bad_checkpoint | unsupported | io | invalid_argument); see
  /// safetensors.h, torch_file.h, quantization.h, gguf.h and weight_files.h.
  static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& path,
                                                const Quantization& quantization,
                                                const std::string& variant = {});
  /// The same for a checkpoint without quantization.
  static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& path);

  /// From tensors. Messages use `name` as the file. `absent`: see why_absent(). Throws
  /// ExportError(bad_checkpoint) if a key occurs twice.
  Checkpoint(std::vector<StoredTensor> tensors, std::string name, std::shared_ptr<const GgufInfo> gguf = {},
             std::vector<std::filesystem::path> files = {},
             std::map<std::string, std::string, std::less<>> absent = {});

  /// The tensors of several checkpoints, with keys that begin with a name for each: `unet.conv_in.weight`.
  /// Messages use `name` as the file.
  static std::shared_ptr<const Checkpoint> joined(
      const std::vector<std::pair<std::string, std::shared_ptr<const Checkpoint>>>& parts, std::string name);

  /// The same tensors, where a key below `part` that is missing stands for the same module below `other`. The
  /// first name after `part` may be one that `other` lacks: `decoder.bert.pooler` is `encoder.pooler`.
  std::shared_ptr<const Checkpoint> tied(std::string part, std::string other) const;

  /// The tensor, or null. The pointer is valid as long as the checkpoint exists.
  const TensorView* find(std::string_view key) const;
  /// A tensor of this checkpoint, as a weight. (The view alone is not enough if the elements are computed: it
  /// then has no file.)
  Weight weight(const TensorView& view) const;
  /// Whether any key starts with `prefix`.
  bool has_prefix(std::string_view prefix) const;
  /// Sorted by key.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  /// Sorted.
  std::vector<std::string> keys() const;
  /// Number of elements of all float tensors.
  std::int64_t num_parameters() const;
  /// What the index of the shards says about a key that no shard has, for messages; empty: nothing.
  std::string why_absent(std::string_view key) const;
  /// Keys that look like `key`, best first.
  std::vector<std::string> nearest(std::string_view key, std::size_t count = 3) const;

  /// "model.safetensors" or "model.safetensors.index.json": the file that was opened, for messages.
  const std::string& name() const { return name_; }

  /// The files that hold the tensors: one, or the shards of an index.
  const std::vector<std::filesystem::path>& files() const { return files_; }

  /// For a GGUF file, whose tensors have their own names and layouts: its content; else null.
  const std::shared_ptr<const GgufInfo>& gguf() const { return gguf_; }

 private:
  const TensorView* find_stored(std::string_view key) const;

  std::vector<TensorView> tensors_;
  std::map<std::string, Weight, std::less<>> computed_;  ///< weights that are not views of a file
  std::string name_;
  std::shared_ptr<const GgufInfo> gguf_;
  std::vector<std::filesystem::path> files_;
  std::map<std::string, std::string, std::less<>> absent_;
  std::string tied_, tied_to_;  ///< prefixes with a dot; empty: none
};

}  // namespace onnxport
