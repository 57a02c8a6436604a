/// How GGUF files, the format of llama.cpp, hold the checkpoints of an architecture.
/// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/export_macro.h"
#include "onnxport/weight.h"

namespace onnxport {

using GgufScalar = std::variant<bool, std::int64_t, double, std::string>;
/// The elements of a long array (the tokens of a vocabulary) are counted, and not kept.
struct GgufArray {
  std::uint64_t size = 0;
  std::vector<GgufScalar> values;
};
using GgufValue = std::variant<bool, std::int64_t, double, std::string, GgufArray>;

/// What is in a file. Weights are read when they are asked for.
struct ONNXPORT_API GgufInfo {
  std::string file;  ///< its path, for messages
  std::map<std::string, GgufValue, std::less<>> metadata;
  /// By name; shaped as in a checkpoint: the last axis is the one of neighbouring elements.
  std::map<std::string, Weight, std::less<>> tensors;

  bool has_tensor(std::string_view name) const { return tensors.find(name) != tensors.end(); }
  /// Null when there is none.
  const GgufValue* find(std::string_view key) const;
  /// Nothing when there is none, or none of that type. An array of one counts as its element.
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> real(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;
  /// general.architecture; empty when there is none.
  std::string architecture() const { return text("general.architecture").value_or(""); }
};

/// Tensors of a GGUF file, and what they are in a checkpoint.
struct GgufTensor {
  /// Without `.weight` or `.bias`, and `{}` for numbers: `blk.{}.attn_q`.
  std::string name;
  /// The key, likewise: `model.layers.{}.self_attn.q_proj`. With one `{}` more than `name`: there is a tensor
  /// for each index of the first axis. Empty: derived from others, and not needed.
  std::string key;
  /// Undoes what the converter did to the elements; empty: nothing.
  std::function<Weight(const Weight& stored)> restore = {};
};

/// What is known of the GGUF files of one model type.
struct GgufLayout {
  /// `general.architecture` in them.
  std::string architecture;
  /// The class whose checkpoint was converted (`LlamaForCausalLM`), where no config.json tells.
  std::string original_class;
  /// Of a model of this configuration.
  std::function<std::vector<GgufTensor>(const PretrainedConfig& config)> tensors;
  /// Keys of the metadata below `<architecture>.`, and what config.json calls them.
  std::vector<std::pair<std::string, std::string>> config_keys;
  /// More keys of config.json, as JSON text.
  std::function<std::map<std::string, std::string>(const GgufInfo& file)> more_config = {};
  /// Is a file of this architecture of this model type? Empty: it is.
  std::function<bool(const GgufInfo& file)> matches = {};
};

}  // namespace onnxport
