// Persimmon. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/persimmon/modeling_persimmon.py
#include <utility>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.make_norm = layer_norms(config.real("layer_norm_eps"));
  c.last_norm = "final_layernorm";
  c.attention_bias = true;
  c.add_masks_in_version_4(config);
  const bool norms = config.flag("qk_layernorm");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    const nn::Linear fused(self / "query_key_value", c.hidden_size, 3 * c.hidden_size);
    nn::CausalAttentionParts attention = c.attention(
        self, i, {}, nn::QkvProjection::fused(fused, c.heads, nn::FusedLayout::per_kv_head), "dense");
    if (norms) c.norm_heads(attention, self / "q_layernorm", self / "k_layernorm");
    return c.block(s, std::move(attention), c.plain_mlp(s / "mlp", true, "dense_h_to_4h", "dense_4h_to_h"));
  });
}

}  // namespace

void register_persimmon(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "persimmon",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq"},
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
