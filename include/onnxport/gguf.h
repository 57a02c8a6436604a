/// How GGUF files, the format of llama.cpp, store the checkpoints of an architecture.
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/gguf_info.h"
#include "onnxport/weight.h"

namespace onnxport {

using GgufScalar = std::variant<bool, std::int64_t, double, std::string>;
/// An array. The elements of a long array (the tokens of a vocabulary) are counted but not kept.
struct GgufArray {
  std::uint64_t size = 0;
  std::vector<GgufScalar> values;
};
using GgufValue = std::variant<bool, std::int64_t, double, std::string, GgufArray>;

/// The content of a file. Weights are read lazily.
struct ONNXPORT_API GgufInfo {
  std::string file;  ///< its path, for messages
  std::map<std::string, GgufValue, std::less<>> metadata;
  /// By name, with the axes in the order of a checkpoint: elements along the last axis are adjacent.
  std::map<std::string, Weight, std::less<>> tensors;

  bool has_tensor(std::string_view name) const { return tensors.find(name) != tensors.end(); }
  /// Null if the key does not exist.
  const GgufValue* find(std::string_view key) const;
  /// Nothing if the key does not exist or has another type. An array of one element counts as that element.
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> real(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;
  /// general.architecture, or empty.
  std::string architecture() const { return text("general.architecture").value_or(""); }
};

/// Tensors of a GGUF file, and their counterparts in a checkpoint.
struct GgufTensor {
  /// The name without `.weight` or `.bias`, with `{}` for numbers: `blk.{}.attn_q`.
  std::string name;
  /// The checkpoint key in the same form: `model.layers.{}.self_attn.q_proj`. If it has one `{}` more than
  /// `name`, each index of the first axis is a tensor of its own. Empty: derived from other tensors, and not
  /// needed.
  std::string key;
  /// Undoes the converter's changes to the elements; empty: none.
  std::function<Weight(const Weight& stored)> restore = {};
};

/// The properties of the GGUF files of one model type.
struct GgufLayout {
  /// Their `general.architecture`.
  std::string architecture;
  /// The class whose checkpoint was converted (`LlamaForCausalLM`), if no config.json names it.
  std::string original_class;
  /// The tensors of a model with this configuration.
  std::function<std::vector<GgufTensor>(const PretrainedConfig& config)> tensors;
  /// Keys of the metadata below `<architecture>.`, and their names in config.json.
  std::vector<std::pair<std::string, std::string>> config_keys;
  /// More keys of config.json, as JSON text.
  std::function<std::map<std::string, std::string>(const GgufInfo& file)> more_config = {};
  /// Whether such a file belongs to this model type; unset means yes.
  std::function<bool(const GgufInfo& file)> matches = {};
};

}  // namespace onnxport
