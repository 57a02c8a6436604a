/// Shared parts of the Granite types.
#pragma once

#include <cstdint>
#include <string>

#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/layers.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// embedding_multiplier, logits_scaling.
TextDecoderConfig granite_config(const PretrainedConfig& config);
/// A block whose branches are multiplied: attention_multiplier, residual_multiplier.
nn::Block granite_block(const TextDecoderConfig& c, const PretrainedConfig& config, const Scope& s,
                        std::int64_t layer, nn::FeedForward mlp);
/// The same around a given attention. Sets the scale of its scores.
nn::Block granite_block(const TextDecoderConfig& c, const PretrainedConfig& config, const Scope& s,
                        nn::CausalAttentionParts attention, nn::FeedForward mlp);

/// Attentions with windows (`layer_types`, every fourth layer sees everything), a base of the rotation for
/// each layer (layer_rope_theta, 0: the layer does not turn), and a learned score beside those of the keys.
/// Keys: also sinks.
LayerAttention granite_swa_attention(const TextDecoderConfig& c, const PretrainedConfig& config);

GgufLayout gguf_granite(std::string architecture, std::string original_class);
/// The mixtures of experts, which share an architecture; with an expert that all tokens pass or without.
GgufLayout gguf_granite_moe(std::string original_class, bool shared);

/// A gated feed-forward whose first layer holds gate and up. Keys: input_linear, output_linear.
nn::FeedForward granite_shared_mlp(const Scope& s, std::int64_t hidden_size, std::int64_t width,
                                   const std::string& activation);

/// A mixture of experts, and one that all tokens pass if shared_intermediate_size is not 0. Keys:
/// block_sparse_moe, shared_mlp.
nn::FeedForward granite_moe_mlp(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c);

}  // namespace onnxport::models
