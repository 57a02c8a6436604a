// Jais 2. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/jais2/modeling_jais2.py
#include "models/common/definition.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.make_norm = layer_norms(config.real("layer_norm_eps"));
  const bool mlp_bias = config.flag("mlp_bias");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i), c.plain_mlp(s / "mlp", mlp_bias));
  });
}

}  // namespace

void register_jais2(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "jais2",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
