/// Shared parts of the OLMo types.
#pragma once

#include <cstdint>
#include <string>

#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// From OLMo 2 on: one norm of all queries of a token, and one of all its keys. Keys: also q_norm, k_norm.
nn::CausalAttentionParts olmo2_attention(const TextDecoderConfig& c, const Scope& s, std::int64_t layer,
                                         const nn::Visibility& visible = {});

/// OLMo 2 and 3, whose files have one architecture. Those of OLMo 3 have a window.
GgufLayout gguf_olmo2(std::string original_class, bool slides);

}  // namespace onnxport::models
