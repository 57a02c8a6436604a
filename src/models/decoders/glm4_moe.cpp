// GLM 4.5. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/glm4_moe/modeling_glm4_moe.py
#include "models/common/definition.h"
#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  const bool bias = c.attention_bias, norms = config.flag("use_qk_norm");
  c.attention_bias = false;  // of the output
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    nn::CausalAttentionParts attention =
        c.attention(self, i, {}, nn::QkvProjection::separate(self, c.heads, bias));
    if (norms) c.norm_heads(attention, self / "q_norm", self / "k_norm");
    return c.block(s, std::move(attention), deepseek_mlp(s / "mlp", i, config, c));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("glm4moe", "Glm4MoeForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  add_deepseek_mixture(layout);
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"}};
  });
  add_config(layout, partial_rotary);
  add_config(layout, whether_stored("attention_bias", "blk.0.attn_q.bias"));
  add_config(layout, whether_stored("use_qk_norm", "blk.0.attn_q_norm.weight"));
  return layout;
}

}  // namespace

void register_glm4_moe(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "glm4_moe",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"model.layers.46.*", "model.layers.92.*"},  // these predict further tokens
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
