// GLM-4. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/glm/modeling_glm.py
#include <utility>

#include "models/common/definition.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class GlmOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c(model.config());
  const bool bias = c.attention_bias;
  c.attention_bias = false;  // the output has none
  c.rope.interleaved = true;
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope attention = s / "self_attn";
    auto qkv = nn::QkvProjection::separate(attention, c.heads, bias);
    return c.block(s, c.attention(attention, i, {}, std::move(qkv)), c.mlp(s / "mlp"));
  });
}

}  // namespace

void register_glm(TasksManager& tasks) {
  tasks.register_model<GlmOnnxConfig>({.model_type = "glm",
                                       .tasks = nn::text_decoder_tasks({}),
                                       .forward = forward,
                                       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
