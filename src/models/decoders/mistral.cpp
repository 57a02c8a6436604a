// Mistral. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mistral/modeling_mistral.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c(model.config());
  c.attention_bias = false;  // no key of this class, though files may have it
  const nn::Visibility visible{.window = model.config().maybe_integer("sliding_window")};
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i, visible), c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = turning_gguf("MistralForCausalLM");
  layout.matches = [](const GgufInfo& file) { return !has_gguf_experts(file) && is_gguf_mistral(file); };
  return layout;
}

}  // namespace

void register_mistral(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "mistral",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq"},
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
