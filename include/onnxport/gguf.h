/// How GGUF files hold the checkpoints of an architecture.
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
