// Ministral. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/ministral/modeling_ministral.py
#include "models/common/definition.h"
#include "models/decoders/common/layers.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.attention_bias = false;  // no key of this class, though files may have it
  const bool slides = config.maybe_integer("sliding_window").has_value();
  const auto visible = layer_visibility(config, c.num_hidden_layers, [=](std::int64_t) { return !slides; });
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i, visible.at(i)), c.mlp(s / "mlp"));
  });
}

}  // namespace

void register_ministral(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "ministral",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
