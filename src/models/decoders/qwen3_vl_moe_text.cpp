// The language model of Qwen3-VL with mixtures of experts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3_vl_moe/modeling_qwen3_vl_moe.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/qwen.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

// Transformers 4 stores the stacked weights of experts transposed.
nn::ExpertWeights stored_experts(const Scope& s, const nn::ExpertSizes& z) {
  const std::int64_t width = 2 * z.intermediate_size;
  const auto shape = s.shape_of("gate_up_proj");
  const bool transposed = shape && *shape == std::vector<std::int64_t>{z.experts, z.hidden_size, width};
  if (!transposed) return nn::expert_weights(s, z);
  nn::ExpertWeights weights;
  weights.gate = s.weight("gate_up_proj", *shape).permute({0, 2, 1});
  weights.down = s.weight("down_proj", {z.experts, z.intermediate_size, z.hidden_size}).permute({0, 2, 1});
  return weights;
}

nn::FeedForward mixture(const Scope& s, const nn::ExpertSizes& z, const nn::Routing& routing,
                        const std::string& activation) {
  const nn::Linear gate(s / "gate", z.hidden_size, z.experts, false);
  return nn::SparseMixture(s.path(), nn::Router(gate, routing),
                           nn::Experts(stored_experts(s / "experts", z), activation));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c = qwen3_vl_config(config);
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  // The weights of the chosen experts add up to 1, whatever norm_topk_prob says.
  const nn::Routing routing =
      nn::normalized(nn::largest_scores(nn::softmax_scores, config.integer("num_experts_per_tok")));
  config.harmless({"norm_topk_prob", "router_aux_loss_coef"});
  const std::vector<bool> sparse = qwen_sparse_layers(config, c.num_hidden_layers, experts.experts);
  return forward_text_decoder(inputs, model, component, c, deepstack(c, [&](const Scope& s, std::int64_t i) {
                                const auto mlp = [&]() -> nn::FeedForward {
                                  if (sparse[static_cast<std::size_t>(i)])
                                    return mixture(s / "mlp", experts, routing, c.hidden_act);
                                  return c.mlp(s / "mlp");
                                };
                                return c.block(s, c.normed_attention(s / "self_attn", i), mlp());
                              }));
}

}  // namespace

void register_qwen3_vl_moe_text(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "qwen3_vl_moe_text",
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .roles = {.language_model = LanguageModelRole{}}});
}

}  // namespace onnxport::models
