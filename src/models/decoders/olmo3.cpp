// OLMo 3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/olmo3/modeling_olmo3.py
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/olmo.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  const auto visible = layer_visibility(layer_types(config, c.num_hidden_layers, 4), c.num_hidden_layers,
                                        config.integer("sliding_window"));
  // Only the layers that see everything are scaled to longer texts.
  const double base = config.real("rope_theta");
  const nn::RotaryEmbedding local("rotary_emb_local",
                                  sliding_rope_parameters(config, c.heads.head_dim, base));
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = olmo2_attention(c, s / "self_attn", i, visible.at(i));
    if (visible.at(i).window) attention.rotary = local;
    return c.post_normed_block(s, std::move(attention), c.mlp(s / "mlp"));
  });
}

}  // namespace

void register_olmo3(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "olmo3",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf_olmo2("Olmo3ForCausalLM", true)});
}

}  // namespace onnxport::models
