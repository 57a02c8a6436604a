/// Shared parts of the HunYuan types.
#pragma once

#include <cstdint>

#include "onnxport/nn/causal_attention.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// With the rotation that `alpha` of `rope_scaling` gives.
TextDecoderConfig hunyuan_config(const PretrainedConfig& config);
/// Queries and keys turn before they are normalized. Keys: also query_layernorm, key_layernorm.
nn::CausalAttentionParts hunyuan_attention(const TextDecoderConfig& c, const Scope& s, std::int64_t layer);

}  // namespace onnxport::models
