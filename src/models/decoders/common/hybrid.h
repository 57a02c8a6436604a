/// Shared parts of decoders with recurrent layers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/gguf_info.h"
#include "onnxport/middle_end.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/mamba.h"
#include "onnxport/text_decoder_config.h"

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
};

/// The list of strings with this key, one for each of num_hidden_layers. Throws ExportError(bad_config) for
/// another number.
std::vector<std::string> kinds_of_layers(const PretrainedConfig& config, const char* key);

/// A number that divides others. Throws ExportError(bad_config) for less than 1.
std::int64_t divisor(const PretrainedConfig& config, const char* key);

/// mamba_n_heads, mamba_d_head, mamba_n_groups, mamba_d_state, mamba_d_conv; also mamba_expand and
/// mamba_d_ssm, with which they must agree.
nn::Mamba2Sizes mamba2_sizes(const PretrainedConfig& config);
/// mamba_proj_bias, mamba_conv_bias; the norm of all features together.
nn::Mamba2Options mamba2_options(const PretrainedConfig& config);

/// Real queries see real keys, and padded queries see padded keys, both by their order. (Bamba)
op::AttentionMask same_kind_mask(const nn::DecoderPass& pass);

/// Of a GGUF file: the key heads of each layer, 0 for recurrent ones; empty if the file does not list them.
std::vector<std::int64_t> gguf_key_heads(const GgufInfo& file);
/// A kernel of a GGUF file without its axis of 1. Biases stay.
Weight gguf_conv1d(const Weight& stored);

/// A PreNormBlock with the norms input_layernorm and pre_ff_layernorm.
nn::Block pre_ff_block(const TextDecoderConfig& c, const Scope& s, nn::Mixer mixer, nn::FeedForward mlp);

}  // namespace onnxport::models
