// GLM 4.7 Flash. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/glm4_moe_lite/modeling_glm4_moe_lite.py
#include "models/decoders/common/latent.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  const nn::LatentAttentionParameters latent =
      turning_latent_parameters(config, c, config.flag("rope_interleave"));
  const std::vector<bool> sparse =
      sparse_layers(config, c.num_hidden_layers, [](std::int64_t layer) { return layer > 0; });
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (sparse.at(layer)) return grouped_mixture(s, config, c);
    return c.mlp(s);
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const nn::LatentAttention attention(latent_parts(s / "self_attn", i, config, c, latent));
    return latent_block(c, s, attention, mlp(s / "mlp", i));
  });
}

}  // namespace

void register_glm4_moe_lite(TasksManager& tasks) {
  tasks.register_model<LatentCacheOnnxConfig>(
      {.model_type = "glm4_moe_lite",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"model.layers.47.*"},  // predicts further tokens
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
