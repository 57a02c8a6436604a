/// Shared parts of the LFM types.
#pragma once

#include <cstdint>

#include "onnxport/config.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// norm_eps and tie_embedding under their usual names.
PretrainedConfig lfm2_usual_keys(PretrainedConfig config);
/// A convolution over conv_L_cache tokens between two gates. Keys: in_proj, conv, out_proj.
nn::Mixer lfm2_short_conv(const Scope& s, std::int64_t layer, const PretrainedConfig& config);
/// Keys: q_proj, k_proj, v_proj, q_layernorm, k_layernorm, out_proj.
nn::Mixer lfm2_attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c);
/// Keys: w1, w3, w2.
nn::GatedMlp lfm2_mlp(const Scope& s, const TextDecoderConfig& c, std::int64_t width);

}  // namespace onnxport::models
