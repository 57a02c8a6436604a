/// The names of tensors in the adapter files of peft.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace onnxport {

/// The way out for adapters that are not supported, for messages.
inline constexpr std::string_view kMergeFirst =
    "merge the adapter with peft (merge_and_unload, save_pretrained) and export the merged model";

/// A tensor of an adapter file.
struct AdapterKey {
  enum class Part {
    lora_a,       ///< `lora_A.weight`
    lora_b,       ///< `lora_B.weight`
    lora_bias,    ///< `lora_B.bias`
    embedding_a,  ///< `lora_embedding_A`
    embedding_b,  ///< `lora_embedding_B`
    magnitude,    ///< `lora_magnitude_vector`
    saved,        ///< a tensor that replaces one of the base model
    original,     ///< a copy of a tensor that another one replaces
  };
  Part part = Part::saved;
  /// The module in the base model, without `base_model.model.`; of a saved tensor, its whole key there.
  std::string path;
};

/// Reads a name such as `base_model.model.encoder.layer.0.attention.self.query.lora_A.weight`. The name of
/// the adapter may stand before the last part (`lora_A.default.weight`). `base_layer` and
/// `modules_to_save.default` are names of wrappers, and no part of the path. Throws ExportError(unsupported)
/// that names `file` for tensors of another method.
/// https://github.com/huggingface/peft/blob/v0.18.1/src/peft/utils/save_and_load.py
AdapterKey parse_adapter_key(std::string_view key, const std::string& file);

/// How the paths of an adapter's base model become keys of a checkpoint: a checkpoint of the bare model has
/// no `bert.` before its keys, but the model with a head, of which the adapter was made, has it. Or the other
/// way round.
class AdapterKeyMap {
 public:
  /// `keys`: tensors of the base model, by their names in the model of the adapter. The change of the prefix
  /// by which most of them exist is used.
  AdapterKeyMap(const Checkpoint& base, const std::vector<std::string>& keys);

  std::string operator()(std::string_view key) const;

 private:
  std::string dropped_, added_;  ///< "bert.", or empty
};

}  // namespace onnxport
