/// What the Gemma architectures have in common.
#pragma once

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

}  // namespace onnxport::models
