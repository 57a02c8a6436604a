/// Shared parts of the DeepSeek types and of those with the mixtures of DeepSeek V3.
#pragma once

#include <cstdint>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/latent_attention.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/routing.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Keys and values of latent attention have heads of different sizes.
class LatentAttentionOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  std::vector<StateSpec> states() const override;
};

/// The latent attention that config.json describes, but for its rotation. Throws ExportError(unsupported) if
/// there are fewer key heads than query heads.
nn::LatentAttentionParameters latent_attention_parameters(const PretrainedConfig& config,
                                                          const TextDecoderConfig& c);

/// Sigmoid scores, with a bias and groups for the choice: n_group, topk_group, num_experts_per_tok,
/// norm_topk_prob, routed_scaling_factor. Key: e_score_correction_bias.
nn::Routing deepseek_routing(const Scope& gate, const PretrainedConfig& config, std::int64_t experts);

/// The keys of config.json that count experts: all, and those that every token passes.
struct ExpertCounts {
  const char* routed = "n_routed_experts";
  const char* shared = "n_shared_experts";
};
/// A mixture with that routing, and an expert that all tokens pass.
nn::FeedForward deepseek_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c,
                                 const ExpertCounts& counts = {});
/// That mixture from layer first_k_dense_replace on, and a dense feed-forward before.
nn::FeedForward deepseek_mlp(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                             const TextDecoderConfig& c);

}  // namespace onnxport::models
