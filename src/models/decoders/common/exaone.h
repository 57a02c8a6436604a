/// Shared parts of the EXAONE types.
#pragma once

#include <cstdint>
#include <functional>

#include "onnxport/nn/causal_attention.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// The attention of a layer, whose keys lie below `s`.
using MakeAttention = std::function<nn::CausalAttentionParts(const Scope& s, std::int64_t layer)>;

/// With norms of each head. If some layers slide, only those turn. Reads sliding_window, layer_types,
/// sliding_window_pattern.
MakeAttention exaone_attention(const PretrainedConfig& config, const TextDecoderConfig& c);

}  // namespace onnxport::models
