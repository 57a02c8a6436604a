// VaultGemma: Gemma 2 without norms behind attention and feed-forward. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vaultgemma/modeling_vaultgemma.py
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
  const LayerAttention attention = gemma2_attention(config, c);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                            .attention = nn::CausalAttention(attention(s / "self_attn", i)),
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
