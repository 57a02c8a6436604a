/// Shared parts of GPT-2 and its relatives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {

/// Keys of config.json that not all relatives have under the same name.
struct GptKeys {
  const char* width = "n_embd";
  const char* activation = "activation_function";
};

/// vocab_size, n_embd, n_layer, n_head, n_inner (absent: 4 n_embd), n_positions, activation_function,
/// layer_norm_epsilon.
struct GptConfig {
  explicit GptConfig(const PretrainedConfig& config, const GptKeys& keys = {});

  std::int64_t vocab_size, n_embd, n_layer, n_head, n_inner, n_positions;
  std::string activation;
  double eps;

  nn::HeadSizes sizes() const { return {n_embd, n_head, n_head, n_embd / n_head}; }
  nn::LayerNorm norm(const Scope& s) const { return {s, n_embd, eps}; }
};

/// Decoders with these keys.
class GptOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  NormalizedConfig normalized_config() const override;
};

/// `reorder_and_upcast_attn`, `scale_attn_…` of GPT-2: what the scores of a layer are multiplied by.
struct GptScale {
  explicit GptScale(const PretrainedConfig& config);
  double operator()(double root_of_head_dim, std::int64_t layer) const;
  bool weights, by_layer;
};

/// Attention with weights that are stored as [in, out]. Keys: c_attn, c_proj.
nn::CausalAttentionParts gpt_attention(const Scope& s, std::int64_t layer, const GptConfig& c);
/// Keys, as [in, out]: c_fc, c_proj.
nn::Mlp gpt_mlp(const Scope& s, const GptConfig& c);
/// Tokens plus learned positions. Keys: wte, wpe.
struct GptEmbeddings {
  GptEmbeddings(const Scope& s, const GptConfig& c)
      : wte(s / "wte", c.vocab_size, c.n_embd), wpe(s / "wpe", c.n_positions, c.n_embd) {}
  Value operator()(nn::DecoderPass& pass) const;
  nn::Embedding wte, wpe;
};

/// For originals that mask twice: keys that come later get `later`, and padding the lowest finite value. The
/// sum of both may be infinite.
op::AttentionMask masked_twice(const nn::DecoderPass& pass, double later);

/// GPT-J and CodeGen: rotated queries and keys, and feed-forward beside attention.
struct GptjConfig : GptConfig {
  explicit GptjConfig(const PretrainedConfig& config);
  std::int64_t rotary_dim;
  bool tied;
};
/// Attention behind a projection; the keys below `s` are out_proj and those of the projection.
using GptjProjection = nn::QkvProjection (*)(const Scope& s, const GptjConfig& c);
NamedValues forward_gptj(const Inputs& inputs, const Model& model, const Component& component,
                         GptjProjection project);

}  // namespace onnxport::models
