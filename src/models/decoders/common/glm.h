/// Shared parts of GLM-4 and GLM-4-0414, and of the language models of GLM-4.1V and GLM-OCR.
#pragma once

#include "models/decoders/common/layers.h"
#include "onnxport/config.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Rotated in pairs of neighbours; attention_bias is that of queries, keys and values alone.
LayerAttention glm_attention(TextDecoderConfig c);

/// Blocks with norms before and behind attention and feed-forward (GLM-4-0414).
nn::MakeBlock glm4_blocks(const TextDecoderConfig& c);

/// The language models of GLM-4.1V and GLM-OCR: such a decoder with positions of three axes.
TextDecoderConfig glm4v_text_config(const PretrainedConfig& config);

}  // namespace onnxport::models
