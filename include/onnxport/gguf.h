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

/// Tensors of a GGUF file, and their counterparts in a checkpoint.
struct GgufTensor {
  /// The name without `.weight` or `.bias`, with `{}` for numbers: `blk.{}.attn_q`. With such an ending, both
  /// names are whole: `blk.{}.ssm_dt.bias` of `model.layers.{}.mamba.dt_bias`.
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
