/// Shared parts of GLM-4 and GLM-4-0414.
#pragma once

#include "models/decoders/common/layers.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Rotated in pairs of neighbours; attention_bias is that of queries, keys and values alone.
LayerAttention glm_attention(TextDecoderConfig c);

}  // namespace onnxport::models
