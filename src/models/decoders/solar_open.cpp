// Solar Open. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/solar_open/modeling_solar_open.py
#include "models/common/definition.h"
#include "models/decoders/common/deepseek.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// This class has no dense layers, and no key for their width, though files may have it.
PretrainedConfig with_width(const PretrainedConfig& config) {
  return config.has("intermediate_size") ? config : config.settled("intermediate_size", "0");
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(with_width(config));
  const bool bias = c.attention_bias;
  c.attention_bias = false;  // of the output
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    const auto qkv = nn::QkvProjection::separate(self, c.heads, bias);
    return c.block(s, c.attention(self, i, {}, qkv), deepseek_mixture(s / "mlp", config, c));
  });
}

}  // namespace

void register_solar_open(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "solar_open",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
