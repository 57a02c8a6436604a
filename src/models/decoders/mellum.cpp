// Mellum 2. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/mellum/modeling_mellum.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/layers.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  const auto rope_of = [&](const char* layer_type, double theta) {
    const RopeKeys keys{.layer_type = layer_type, .theta = theta, .partial_rotary_factor = 1};
    return rope_parameters(config, c.heads.head_dim, keys);
  };
  c.rope = rope_of("full_attention", 500000);
  const nn::RotaryEmbedding local("rotary_emb_local", rope_of("sliding_attention", 10000));
  const auto visible = layer_visibility(config, c.num_hidden_layers, [](std::int64_t) { return true; });
  const std::vector<bool> sparse =
      sparse_layers(config, c.num_hidden_layers, [](std::int64_t) { return true; });
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  const nn::Routing routing = softmax_routing(config);
  config.harmless({"num_mtp_layers", "mtp_layer_types", "mtp_mlp_layer_types"});  // of further tokens
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    nn::CausalAttentionParts attention = c.normed_attention(s / "self_attn", i, visible.at(at));
    if (visible.at(at).window) attention.rotary = local;
    const auto mlp = [&]() -> nn::FeedForward {
      if (!sparse.at(at)) return c.mlp(s / "mlp");
      return nn::SparseMixture(s / "mlp", experts, routing, c.hidden_act);
    };
    return c.block(s, std::move(attention), mlp());
  });
}

}  // namespace

void register_mellum(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "mellum",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"mtp.*"},
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
