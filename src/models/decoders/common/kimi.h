/// Shared parts of types with Kimi delta attention between layers of latent attention.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "models/decoders/common/hybrid.h"
#include "onnxport/nn/delta_rule.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// Delta nets, and layers whose states are latents and the turned parts of keys: [B, 1, P, kv_lora_rank] and
/// [B, 1, P, qk_rope_head_dim].
class KimiHybridOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  virtual bool attends(const PretrainedConfig& config, std::int64_t layer) const = 0;
  virtual nn::DeltaSizes sizes(const PretrainedConfig& config) const = 0;
  std::vector<StateSpec> layer_states(std::int64_t layer) const override;
};

/// Heads of one size for queries, keys and values.
nn::DeltaSizes kimi_delta_sizes(const PretrainedConfig& config, std::int64_t heads, std::int64_t head_dim,
                                std::int64_t kernel);

/// A gated delta net in which each element of a key has a decay of its own (Kimi Team 2025). `decay` [B, S,
/// heads * head_dim] and `gate` [B, S, heads * head_dim] of x [B, S, H]. Keys: q_proj, k_proj, v_proj,
/// b_proj, o_norm, o_proj, and those of qkv_conv().
nn::Mixer kimi_delta_attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                               const nn::DeltaSizes& sizes, std::function<Value(Value)> decay,
                               std::function<Value(Value)> gate);

/// The mixture of DeepSeek V3, with num_local_experts.
nn::FeedForward kimi_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c,
                             const nn::ExpertNames& names = {});

}  // namespace onnxport::models
