/// Shared parts of the EXAONE types.
#pragma once

#include "models/decoders/common/layers.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// With norms of each head. If some layers slide, only those turn. Reads sliding_window, layer_types,
/// sliding_window_pattern.
LayerAttention exaone_attention(const PretrainedConfig& config, const TextDecoderConfig& c);

}  // namespace onnxport::models
