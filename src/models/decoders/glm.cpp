// GLM-4. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/glm/modeling_glm.py
#include <string>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/glm.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c(model.config());
  const LayerAttention attention = glm_attention(c);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, attention(s / "self_attn", i), c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("chatglm", "GlmForCausalLM");
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.ffn_up", "model.layers.{}.mlp.gate_up_proj"}};
  });
  add_config(layout, partial_rotary);
  add_config(layout, whether_stored("attention_bias", "blk.0.attn_q.bias"));
  add_config(layout, [](const GgufInfo& file) -> ConfigTexts {
    const std::int64_t heads = file.integer("chatglm.attention.head_count").value_or(0);
    if (heads <= 0) return {};
    return {{"head_dim", std::to_string(file.integer("chatglm.embedding_length").value_or(0) / heads)}};
  });
  return layout;
}

}  // namespace

LayerAttention glm_attention(TextDecoderConfig c) {
  const bool bias = c.attention_bias;
  c.attention_bias = false;  // the output has none
  c.rope.interleaved = true;
  return [c, bias](const Scope& s, std::int64_t layer) {
    return c.attention(s, layer, {}, nn::QkvProjection::separate(s, c.heads, bias));
  };
}

void register_glm(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "glm",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
