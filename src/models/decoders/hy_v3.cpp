// Hunyuan 3. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/hy_v3/modeling_hy_v3.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const std::int64_t width = config.integer("moe_intermediate_size");
  const nn::ExpertSizes z{c.hidden_size, width, config.integer("num_experts")};
  const nn::Scores preference = nn::plus_bias(s.weight("expert_bias", {z.experts}));
  const nn::Routing chosen =
      nn::preferred_scores(op::sigmoid, preference, config.integer("num_experts_per_tok"));
  const nn::Router router(
      nn::Linear(s / "router" / "gate", z.hidden_size, z.experts, false),
      nn::multiplied(nn::normalized(chosen, 1e-20), config.real("router_scaling_factor")));
  const nn::Experts experts(nn::expert_weights(s / "experts", z), c.hidden_act);
  return nn::sum_of(nn::SparseMixture(s.path(), router, experts),
                    mlp_of_width(c, s / "shared_mlp", width * config.integer("num_shared_experts"),
                                 config.flag("mlp_bias")));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  const std::vector<bool> sparse =
      sparse_layers(config, c.num_hidden_layers, [](std::int64_t layer) { return layer > 0; });
  const bool mlp_bias = config.flag("mlp_bias");
  config.harmless({"enable_moe_fp32_combine"});  // a sum of two numbers, which is rounded once anyway
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const auto mlp = [&]() -> nn::FeedForward {
      if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(s / "mlp", mlp_bias);
      return mixture(s / "mlp", config, c);
    };
    return c.block(s, c.normed_attention(s / "self_attn", i), mlp());
  });
}

}  // namespace

void register_hy_v3(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"mlp.router.gate.", "mlp.gate."},
                 {"mlp.expert_bias", "mlp.e_score_correction_bias"},
                 {"mlp.shared_mlp.", "mlp.shared_experts."}};
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "hy_v3",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"model.layers.80.*"},  // these predict further tokens
       .key_names = names});
}

}  // namespace onnxport::models
