/// Shared parts of the Gemma types.
#pragma once

#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/layers.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Tied by default; norms with weights around 0, and scaled embeddings.
TextDecoderConfig gemma_config(const PretrainedConfig& config);

/// From Gemma 2 on: the activation under its newer name, and logits capped by final_logit_softcapping.
TextDecoderConfig gemma2_config(const PretrainedConfig& config);
/// The scale of the scores, and their cap where the original applies it; then also the result for a query
/// that sees no key.
op::AttentionOptions gemma2_attention_options(const PretrainedConfig& config, TextDecoderConfig& c);
/// With these options; every second layer slides, unless layer_types says otherwise.
LayerAttention gemma2_attention(const PretrainedConfig& config, TextDecoderConfig& c);
/// A block with norms around attention and feed-forward.
nn::Block gemma2_block(const TextDecoderConfig& c, const Scope& s, nn::CausalAttentionParts attention);

/// From Gemma 3 on: the scale belongs to the table of tokens.
TextDecoderConfig gemma3_config(const PretrainedConfig& config);
/// The blocks of Gemma 3, with `config` of its language model.
nn::MakeBlock gemma3_blocks(const PretrainedConfig& config, const TextDecoderConfig& c);

GgufLayout gguf_gemma();
/// gguf_gemma() from Gemma 2 on. `large`: the number of layers of the model that scales its queries by
/// another size than that of its heads, which no metadata tell.
GgufLayout gguf_later_gemma(std::string architecture, std::string original_class, std::int64_t large);

}  // namespace onnxport::models
