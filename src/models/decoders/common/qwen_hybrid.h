/// Shared parts of the Qwen types with gated delta nets.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "models/decoders/common/hybrid.h"
#include "onnxport/model.h"
#include "onnxport/nn/delta_rule.h"

namespace onnxport::models {

/// Layers of gated delta nets, and of full attention where layer_types or full_attention_interval says so. A
/// model with other parts has a `text_config`.
class QwenHybridOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;
  NormalizedConfig normalized_config() const override;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override;
};

/// The parts of a gated delta net with these projections. Keys: conv1d, norm, out_proj.
nn::GatedDeltaParts qwen_delta_parts(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                                     const nn::DeltaSizes& sizes,
                                     std::function<nn::DeltaInputs(Value)> project);

/// Makes the gated delta net of a layer.
using MakeDeltaNet =
    std::function<nn::Mixer(const Scope& s, std::int64_t layer, const nn::DeltaSizes& sizes)>;
/// Makes the feed-forward of a layer.
using MakeFeedForward = std::function<nn::FeedForward(const Scope& s, std::int64_t layer)>;
/// The blocks of such a decoder. The queries of its attention have norms, and each has a gate for its
/// results. Keys: linear_attn, self_attn, mlp, input_layernorm, post_attention_layernorm.
nn::MakeBlock qwen_hybrid_blocks(const PretrainedConfig& config, const TextDecoderConfig& c,
                                 const MakeDeltaNet& delta_net, const MakeFeedForward& mlp);

/// Qwen3.5, and its mixtures of experts. A model with a vision tower gives its language model.
NamedValues forward_qwen3_5(const Inputs& inputs, const Model& model, const Component& component);
NamedValues forward_qwen3_5_moe(const Inputs& inputs, const Model& model, const Component& component);
/// The tensors of such a checkpoint. The parts that see, and those that guess further tokens, are ignored.
KeyNames qwen3_5_key_names();
std::vector<std::string> qwen3_5_ignorable_keys();

}  // namespace onnxport::models
