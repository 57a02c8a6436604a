// ERNIE 4.5, the dense models. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/ernie4_5/modeling_ernie4_5.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c(model.config());
  const bool bias = model.config().flag("use_bias", false);
  c.attention_bias = bias;
  c.rope.interleaved = true;
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i), c.mlp(s / "mlp", bias));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("ernie4_5", "Ernie4_5ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  add_config(layout, whether_stored("use_bias", "blk.0.attn_q.bias"));
  return layout;
}

}  // namespace

void register_ernie4_5(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "ernie4_5",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
