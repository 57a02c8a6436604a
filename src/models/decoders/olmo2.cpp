// OLMo 2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/olmo2/modeling_olmo2.py
#include <string>
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/olmo.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c(model.config());
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.post_normed_block(s, olmo2_attention(c, s / "self_attn", i), c.mlp(s / "mlp"));
  });
}

}  // namespace

nn::CausalAttentionParts olmo2_attention(const TextDecoderConfig& c, const Scope& s, std::int64_t layer,
                                         const nn::Visibility& visible) {
  nn::CausalAttentionParts attention = c.attention(s, layer, visible);
  attention.query_norm = c.norm(s / "q_norm", c.heads.heads * c.heads.head_dim);
  attention.key_norm = c.norm(s / "k_norm", c.heads.kv_heads * c.heads.head_dim);
  return attention;
}

GgufLayout gguf_olmo2(std::string original_class, bool slides) {
  GgufLayout layout = llama_like_gguf("olmo2", std::move(original_class));
  add_keys(layout, {{"attention.key_length", "head_dim"}, {"attention.sliding_window", "sliding_window"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"},
            {"blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm"}};
  });
  add_config(layout, sliding_layers);
  layout.matches = [slides](const GgufInfo& file) {
    return slides == file.integer("olmo2.attention.sliding_window").has_value();
  };
  return layout;
}

void register_olmo2(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "olmo2",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf_olmo2("Olmo2ForCausalLM", false)});
}

}  // namespace onnxport::models
