/// Shared parts of decoders with recurrent layers.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/gguf_info.h"
#include "onnxport/middle_end.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/delta_rule.h"
#include "onnxport/nn/mamba.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"
#include "onnxport/weight.h"

namespace onnxport::models {

/// A decoder whose layers have different states.
class HybridOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  AxesByName inputs() const override;
  std::vector<StateSpec> states() const override;

 protected:
  /// In the order of the file.
  virtual std::vector<StateSpec> layer_states(std::int64_t layer) const = 0;
  /// Whether position_ids is an input.
  virtual bool takes_positions() const { return true; }
  /// The inputs [B, channels, kept] of a convolution, and `part` [B, extents…].
  std::vector<StateSpec> recurrent_states(std::int64_t layer, std::int64_t channels, std::int64_t kept,
                                          const std::string& part,
                                          const std::vector<std::int64_t>& extents) const;
  std::vector<StateSpec> mamba2_states(std::int64_t layer, const nn::Mamba2Sizes& sizes) const;
  /// Those of nn::GatedDeltaNet.
  std::vector<StateSpec> delta_states(std::int64_t layer, const nn::DeltaSizes& sizes) const;
};

/// The rotations of these kinds of layers, with an entry of `rope_parameters` for each. They are read
/// although perhaps no layer is of one of them.
using Rotations = std::map<std::string, nn::RotaryEmbedding>;
Rotations rotations(const PretrainedConfig& config, std::int64_t head_dim,
                    std::initializer_list<const char*> kinds);

/// mamba_n_heads, mamba_d_head, mamba_n_groups, mamba_d_state, mamba_d_conv; also mamba_expand and
/// mamba_d_ssm, with which they must agree.
nn::Mamba2Sizes mamba2_sizes(const PretrainedConfig& config);
/// mamba_proj_bias, mamba_conv_bias; the norm of all features together, or in version 5 of each group.
nn::Mamba2Options mamba2_options(const PretrainedConfig& config);

/// Version 5 clears the padding of Mamba's inputs earlier.
nn::MambaPadding mamba_padding(const PretrainedConfig& config);

/// linear_num_key_heads, linear_num_value_heads, linear_key_head_dim, linear_value_head_dim,
/// linear_conv_kernel_dim.
nn::DeltaSizes delta_sizes(const PretrainedConfig& config);

/// The convolution of queries, keys and values, whose kernel may lie in three parts. Keys: conv1d; or
/// q_conv1d, k_conv1d, v_conv1d.
nn::CausalConv qkv_conv(const Scope& s, const nn::DeltaSizes& sizes);

/// The rows of a weight [groups * (sum of widths), …] lie group by group; they are sorted by part, at export.
std::vector<Weight> parts_of_rows(const Weight& rows, std::int64_t groups,
                                  const std::vector<std::int64_t>& widths);

/// Real queries see real keys, and padded queries see padded keys, both by their order. (Bamba)
op::AttentionMask same_kind_mask(const nn::DecoderPass& pass);

/// Of a GGUF file: the key heads of each layer, 0 for recurrent ones; empty if the file does not list them.
std::vector<std::int64_t> gguf_key_heads(const GgufInfo& file);
/// Whether a file of the architecture `granitehybrid` holds Bamba: its attentions turn.
bool is_gguf_bamba(const GgufInfo& file);
/// A kernel of a GGUF file without its axis of 1. Biases stay.
Weight gguf_conv1d(const Weight& stored);

/// A mixer that gets zeros for padding.
nn::Mixer without_padding(nn::Mixer mixer);

/// Queries, keys and values of x [B, S, H] from layers that keep states of their own.
using StatefulProjection = std::function<nn::QueryKeyValue(Value x, nn::DecoderPass& pass)>;
/// An attention with such a projection in place of its own.
nn::Mixer stateful_attention(nn::CausalAttentionParts attention, StatefulProjection project);

/// A PreNormBlock with the norms input_layernorm and pre_ff_layernorm.
nn::Block pre_ff_block(const TextDecoderConfig& c, const Scope& s, nn::Mixer mixer, nn::FeedForward mlp);

}  // namespace onnxport::models
