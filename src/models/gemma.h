/// What the Gemma architectures have in common.
#pragma once

#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Norms with weights around 0, and scaled embeddings.
nn::DecoderParameters gemma_decoder(const TextDecoderConfig& config);

}  // namespace onnxport::models
