/// Shared parts of the DeepSeek types and of those with the mixtures of DeepSeek V3.
#pragma once

#include <cstdint>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/latent_attention.h"
#include "onnxport/nn/mlp.h"
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

/// A mixture with sigmoid scores, a bias and groups for the choice, and an expert that all tokens pass.
nn::FeedForward deepseek_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c);
/// That mixture from layer first_k_dense_replace on, and a dense feed-forward before.
nn::FeedForward deepseek_mlp(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                             const TextDecoderConfig& c);

}  // namespace onnxport::models
