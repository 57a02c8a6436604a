// VaultGemma: Gemma 2 without norms behind attention and feed-forward. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vaultgemma/modeling_vaultgemma.py
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/gemma.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c = gemma2_config(config);
  const op::AttentionOptions options = gemma2_attention_options(config, c);
  const auto visible = layer_visibility(layer_types(config, c.num_hidden_layers, 2), c.num_hidden_layers,
                                        config.integer("sliding_window"));
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = c.attention(s / "self_attn", i, visible.at(i));
    attention.options = options;
    return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                            .attention = nn::CausalAttention(std::move(attention)),
                            .before_mlp = c.norm(s / "pre_feedforward_layernorm"),
                            .mlp = c.mlp(s / "mlp")};
  });
}

}  // namespace

void register_vaultgemma(TasksManager& tasks) {
  tasks.register_model<TextDecoderOnnxConfig>({.model_type = "vaultgemma",
                                               .tasks = nn::text_decoder_tasks({}),
                                               .forward = forward,
                                               .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
