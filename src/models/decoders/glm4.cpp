// GLM-4-0414. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/glm4/modeling_glm4.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/glm.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c(model.config());
  return forward_text_decoder(inputs, model, component, c, glm4_blocks(c));
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("glm4", "Glm4ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.ffn_up", "model.layers.{}.mlp.gate_up_proj"},
            {"blk.{}.post_attention_norm", "model.layers.{}.post_self_attn_layernorm"},
            {"blk.{}.post_ffw_norm", "model.layers.{}.post_mlp_layernorm"}};
  });
  add_config(layout, partial_rotary);
  add_config(layout, whether_stored("attention_bias", "blk.0.attn_q.bias"));
  return layout;
}

}  // namespace

nn::MakeBlock glm4_blocks(const TextDecoderConfig& c) {
  return [c, attention = glm_attention(c)](const Scope& s, std::int64_t i) {
    return nn::SandwichBlock{.before_attention = c.norm(s / "input_layernorm"),
                             .attention = nn::CausalAttention(attention(s / "self_attn", i)),
                             .after_attention = c.norm(s / "post_self_attn_layernorm"),
                             .before_mlp = c.norm(s / "post_attention_layernorm"),
                             .mlp = c.mlp(s / "mlp"),
                             .after_mlp = c.norm(s / "post_mlp_layernorm")};
  };
}

void register_glm4(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "glm4",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
