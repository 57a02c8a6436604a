/// The typed config that most decoders share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/export_macro.h"
#include "onnxport/model.h"
#include "onnxport/nn/decoder.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"

namespace onnxport {

/// Does `_attn_implementation` ask for the eager attention of the original?
ONNXPORT_API bool eager_attention(const PretrainedConfig& config);

/// rope_theta and rope_scaling (or rope_parameters, as newer files have it) for heads of this size, of which
/// `partial_rotary_factor` turns. Throws ExportError(bad_config).
ONNXPORT_API nn::RopeParameters rope_parameters(const PretrainedConfig& config, std::int64_t head_dim,
                                                double partial_rotary_factor = 1);

/// Reads vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act,
/// rms_norm_eps, rope_*, tie_word_embeddings, pad_token_id, and, where the class has them,
/// num_key_value_heads, head_dim, attention_bias, sliding_window, layer_types.
struct ONNXPORT_API TextDecoderConfig {
  explicit TextDecoderConfig(const PretrainedConfig& config);

  std::int64_t vocab_size, hidden_size, num_hidden_layers, intermediate_size, num_labels;
  nn::HeadSizes heads;
  std::string hidden_act;
  double rms_norm_eps;
  bool attention_bias, tie_word_embeddings, eager;
  std::optional<std::int64_t> pad_token_id;
  nn::RopeParameters rope;

  /// The stack with gated feed-forwards, all layers alike: what a definition starts from.
  nn::DecoderParameters decoder() const;
  /// All layers attend to a window.
  static void slide(nn::DecoderParameters& decoder, std::int64_t window);
  /// The layers whose type is "sliding_attention" attend to a window; `types` is one per layer.
  static void slide(nn::DecoderParameters& decoder, std::int64_t window,
                    const std::vector<std::string>& types);
};

/// All tasks of a decoder whose keys lie below `model`, with `lm_head` beside it. `final_softcap`: bounds the
/// logits.
ONNXPORT_API NamedValues forward_text_decoder(const Inputs& inputs, const Model& model,
                                              const Component& component, const TextDecoderConfig& config,
                                              const nn::DecoderParameters& decoder, double final_softcap = 0);

}  // namespace onnxport
