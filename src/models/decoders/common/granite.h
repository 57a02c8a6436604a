/// Shared parts of the Granite types.
#pragma once

#include <cstdint>

#include "onnxport/nn/blocks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// embedding_multiplier, logits_scaling.
TextDecoderConfig granite_config(const PretrainedConfig& config);
/// A block whose branches are multiplied: attention_multiplier, residual_multiplier.
nn::Block granite_block(const TextDecoderConfig& c, const PretrainedConfig& config, const Scope& s,
                        std::int64_t layer, nn::FeedForward mlp);

}  // namespace onnxport::models
