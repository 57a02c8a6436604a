/// The typed config that most decoders share.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/export_macro.h"
#include "onnxport/model.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotary.h"

namespace onnxport {

/// Does `_attn_implementation` ask for the eager attention of the original?
ONNXPORT_API bool eager_attention(const PretrainedConfig& config);

/// Where rope_parameters() looks.
struct RopeKeys {
  /// The entry of `rope_parameters`, if it has one for each type of layer.
  std::string layer_type = {};
  /// Values of a class that has other keys than rope_theta and partial_rotary_factor.
  std::optional<double> theta = {}, partial_rotary_factor = {};
};

/// The rotation of heads of this size: `rope_parameters` of transformers 5, or `rope_scaling`, rope_theta and
/// partial_rotary_factor of version 4. Throws ExportError(bad_config).
ONNXPORT_API nn::RopeParameters rope_parameters(const PretrainedConfig& config, std::int64_t head_dim,
                                                const RopeKeys& keys = {});

/// Makes the norm of this width whose keys lie below `s`.
using MakeNorm = std::function<nn::Norm(const Scope& s, std::int64_t width)>;
/// LayerNorm with weight and bias; without bias.
ONNXPORT_API MakeNorm layer_norms(double eps);
ONNXPORT_API MakeNorm layer_norms_without_bias(double eps);

/// The rotation of the layers that slide, where the original scales only that of the others: by this base,
/// unscaled unless `rope_parameters` says otherwise.
ONNXPORT_API nn::RopeParameters sliding_rope_parameters(const PretrainedConfig& config, std::int64_t head_dim,
                                                        double theta);

/// Reads vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act,
/// rope_*, tie_word_embeddings, pad_token_id, and, where the class has them, rms_norm_eps,
/// num_key_value_heads, head_dim, attention_bias. Gives the parts of blocks that follow from them; a
/// definition changes members or parts and composes its block.
struct ONNXPORT_API TextDecoderConfig {
  explicit TextDecoderConfig(const PretrainedConfig& config);

  std::int64_t vocab_size, hidden_size, num_hidden_layers, intermediate_size, num_labels;
  nn::HeadSizes heads;
  std::string hidden_act;
  nn::NormParameters norm_parameters;
  MakeNorm make_norm;  ///< empty: RmsNorm with norm_parameters
  bool attention_bias, tie_word_embeddings;
  op::NoKeys no_keys;  ///< uniform where `attn_implementation` is "eager", which adds masks to the scores
  std::optional<std::int64_t> pad_token_id;
  nn::RopeParameters rope;
  double embedding_scale = 1;      ///< multiplies the embeddings, and vectors that come instead of tokens
  double table_scale = 1;          ///< multiplies the rows of the table of tokens
  double logit_scale = 1;          ///< multiplies the logits
  double final_softcap = 0;        ///< bounds the logits: softcap * tanh(logits / softcap); 0: they stay
  std::string last_norm = "norm";  ///< key of the norm behind the blocks
  std::string head_bias = {};      ///< key of a bias below lm_head; empty: it has none

  /// For a class that adds masks to the scores in files of transformers 4, whatever `attn_implementation`
  /// says.
  void add_masks_in_version_4(const PretrainedConfig& config);

  /// Of hidden states.
  nn::Norm norm(const Scope& s) const { return norm(s, hidden_size); }
  nn::Norm norm(const Scope& s, std::int64_t width) const;
  /// Keys: q_proj, k_proj, v_proj, o_proj.
  nn::CausalAttentionParts attention(const Scope& s, std::int64_t layer,
                                     const nn::Visibility& visible = {}) const;
  /// The same around another projection.
  nn::CausalAttentionParts attention(const Scope& s, std::int64_t layer, const nn::Visibility& visible,
                                     nn::Projection qkv, const std::string& output = "o_proj") const;
  /// attention() with norms of each head's queries and keys. Keys: also q_norm, k_norm.
  nn::CausalAttentionParts normed_attention(const Scope& s, std::int64_t layer,
                                            const nn::Visibility& visible = {}) const;
  /// Adds norms of each head's queries and keys to an attention.
  void norm_heads(nn::CausalAttentionParts& attention, const Scope& query, const Scope& key) const;
  /// Gated. Keys: gate_proj, up_proj, down_proj.
  nn::GatedMlp mlp(const Scope& s, bool bias = false) const;
  /// Not gated.
  nn::Mlp plain_mlp(const Scope& s, bool bias, const std::string& up = "up_proj",
                    const std::string& down = "down_proj") const;
  /// The block of most decoders. Keys: input_layernorm, post_attention_layernorm, and those of the parts.
  nn::Block block(const Scope& s, nn::CausalAttentionParts attention, nn::FeedForward mlp) const;
  /// Attention and feed-forward side by side, behind one norm. Keys: input_layernorm, and those of the parts.
  nn::Block parallel_block(const Scope& s, nn::CausalAttentionParts attention, nn::FeedForward mlp) const;
  /// Norms behind attention and feed-forward alone (OLMo 2). Keys: post_attention_layernorm,
  /// post_feedforward_layernorm, and those of the parts.
  nn::Block post_normed_block(const Scope& s, nn::CausalAttentionParts attention, nn::FeedForward mlp) const;
};

/// layer_types; in files without that key all layers slide but every `pattern`-th.
ONNXPORT_API std::vector<std::string> layer_types(const PretrainedConfig& config, std::int64_t layers,
                                                  std::int64_t pattern);

/// Which keys each layer sees: those of `window` where its type is "sliding_attention", all where it is
/// "full_attention". Throws ExportError(bad_config) for other types or another number of them, and for layers
/// that slide without a window.
ONNXPORT_API std::vector<nn::Visibility> layer_visibility(const std::vector<std::string>& types,
                                                          std::int64_t layers, std::int64_t window);

/// Where the keys of a decoder lie.
struct TextDecoderScopes {
  Scope base;     ///< embed_tokens, layers.{i}, norm
  Scope lm_head;  ///< weight
  Scope heads;    ///< score, qa_outputs
};

/// All tasks of a decoder whose keys lie there.
ONNXPORT_API NamedValues forward_text_decoder(const Inputs& inputs, const TextDecoderScopes& scopes,
                                              const Component& component, const TextDecoderConfig& config,
                                              const nn::MakeBlock& make_block);
/// The same of a model whose keys lie below `model`, with `lm_head` beside it.
ONNXPORT_API NamedValues forward_text_decoder(const Inputs& inputs, const Model& model,
                                              const Component& component, const TextDecoderConfig& config,
                                              const nn::MakeBlock& make_block);

}  // namespace onnxport
