// Helium. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/helium/modeling_helium.py
#include <utility>

#include "models/common/definition.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c(model.config());
  const bool bias = c.attention_bias, mlp_bias = model.config().flag("mlp_bias", false);
  c.attention_bias = false;  // the output has none
  c.rope.interleaved = true;
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope attention = s / "self_attn";
    auto qkv = nn::QkvProjection::separate(attention, c.heads, bias);
    return c.block(s, c.attention(attention, i, {}, std::move(qkv)), c.mlp(s / "mlp", mlp_bias));
  });
}

}  // namespace

void register_helium(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "helium",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
