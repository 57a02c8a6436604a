/// What the Qwen architectures have in common.
#pragma once

#include "onnxport/nn/decoder.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Windows in the layers that `layer_types` names, or else from `max_window_layers` on, where
/// `use_sliding_window` asks for them.
void slide_upper_layers(nn::DecoderParameters& decoder, const PretrainedConfig& config);

}  // namespace onnxport::models
