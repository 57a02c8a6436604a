// Qwen3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3/modeling_qwen3.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/qwen.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c(model.config());
  const std::vector<nn::Visibility> visible = qwen_layer_visibility(model.config(), c.num_hidden_layers);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.normed_attention(s / "self_attn", i, visible.at(i)), c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("qwen3", "Qwen3ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  return layout;
}

}  // namespace

void register_qwen3(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "qwen3",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
