// OLMo. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/olmo/modeling_olmo.py
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.make_norm = [](const Scope& s, std::int64_t width) { return nn::LayerNorm(s, width, 1e-5, false); };
  const auto clip = config.maybe_real("clip_qkv");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope attention = s / "self_attn";
    auto qkv = nn::QkvProjection::separate(attention, c.heads, c.attention_bias);
    if (clip) qkv = std::move(qkv).clipped(*clip);
    return c.block(s, c.attention(attention, i, {}, std::move(qkv)), c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("olmo", "OlmoForCausalLM");
  add_keys(layout, {{"attention.clamp_kqv", "clip_qkv"}});
  turn_rows(layout);
  return layout;
}

}  // namespace

void register_olmo(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "olmo",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
