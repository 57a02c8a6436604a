/// Shared parts of the DeepSeek types and of those with the mixtures of DeepSeek V3.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/latent_attention.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotary.h"
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

/// Rotates heads of `rope.dim` elements; with `interleaved`, the pairs that turn are neighbours, and the
/// results have the first elements of all pairs in front.
std::function<Value(Value x, std::int64_t heads, const nn::DecoderPass& pass)> deepseek_rotation(
    const nn::RopeParameters& rope, bool interleaved);
/// The scale of the scores of heads of this size, with what yarn adds to it beside the rotation.
double deepseek_score_scale(const PretrainedConfig& config, std::int64_t head_dim);

/// Sigmoid scores; `bias` [E], which may be empty, and the best groups, if `n_group` is not null, change the
/// choice. `outside`: what the experts of other groups score.
nn::Routing deepseek_routing(const PretrainedConfig& config, const Weight& bias, double outside);
/// The n_routed_experts that a routing picks, and n_shared_experts as one that all tokens pass.
nn::FeedForward deepseek_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c,
                                 const nn::Routing& routing);
/// The same with deepseek_routing() and a bias.
nn::FeedForward deepseek_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c);
/// That mixture from layer first_k_dense_replace on, and a dense feed-forward before.
nn::FeedForward deepseek_mlp(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                             const TextDecoderConfig& c);

/// GGUF files of DeepSeek V2 and of V3, which share an architecture.
GgufLayout gguf_deepseek(std::string original_class, bool third);

}  // namespace onnxport::models
