/// Shared parts of decoders whose attention caches latents, as transformers 5 has them.
#pragma once

#include <cstdint>
#include <vector>

#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/hybrid.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/latent_attention.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// The states of each layer are its latents and the turned parts of its keys: [B, 1, P, kv_lora_rank] and
/// [B, 1, P, qk_rope_head_dim].
class LatentCacheOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override;
};

/// latent_attention_parameters() with the rotation that config.json describes.
nn::LatentAttentionParameters turning_latent_parameters(const PretrainedConfig& config,
                                                        const TextDecoderConfig& c, bool interleaved);

/// nn::cached_latent_attention() with the scale and the mask of the original.
nn::LatentAttentionParts latent_parts(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                                      const TextDecoderConfig& c, const nn::LatentAttentionParameters& p);

/// TextDecoderConfig::block() around any attention.
nn::Block latent_block(const TextDecoderConfig& c, const Scope& s, nn::Mixer attention, nn::FeedForward mlp);

/// deepseek_mixture() as transformers 5 computes it: experts of other groups are never chosen.
nn::FeedForward grouped_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c);

/// Throws ExportError(bad_config) without `q_lora_rank`, for originals that need it.
void require_query_rank(const PretrainedConfig& config);

}  // namespace onnxport::models
