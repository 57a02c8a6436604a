/// What the Gemma architectures have in common.
#pragma once

#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Norms with weights around 0, and scaled embeddings.
nn::DecoderParameters gemma_decoder(const TextDecoderConfig& config);

/// From Gemma 2 on: tied by default, and the activation under its newer name.
TextDecoderConfig gemma2_config(const PretrainedConfig& config);
/// gemma_decoder() with sandwich norms and scores by query_pre_attn_scalar.
nn::DecoderParameters gemma2_decoder(const PretrainedConfig& config, const TextDecoderConfig& c);
/// layer_types; in files older than that key all layers slide but every `pattern`-th.
std::vector<std::string> gemma2_layer_types(const PretrainedConfig& config, std::int64_t layers,
                                            std::int64_t pattern);
/// The outputs, with logits capped by final_logit_softcapping.
NamedValues forward_gemma2(const Inputs& inputs, const Model& model, const Component& component,
                           const TextDecoderConfig& c, const nn::DecoderParameters& decoder);

GgufLayout gguf_gemma();
/// gguf_gemma() from Gemma 2 on. `large`: the number of layers of the model that scales its queries by
/// another size than that of its heads, which no metadata tell.
GgufLayout gguf_later_gemma(std::string architecture, std::string original_class, std::int64_t large);

}  // namespace onnxport::models
