// The text model of Aria. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/aria/modeling_aria.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// Stored as [in, out].
nn::ExpertWeights experts(const Scope& s, const nn::ExpertSizes& z) {
  const Scope up = s / "fc1", down = s / "fc2";
  nn::ExpertWeights weights;
  weights.gate = up.weight("weight", {z.experts, z.hidden_size, 2 * z.intermediate_size}).permute({0, 2, 1});
  weights.down = down.weight("weight", {z.experts, z.intermediate_size, z.hidden_size}).permute({0, 2, 1});
  return weights;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  const bool mlp_bias = config.flag("mlp_bias");
  const nn::ExpertSizes sizes{c.hidden_size, c.intermediate_size, config.integer("moe_num_experts")};
  const std::int64_t shared = c.intermediate_size * config.integer("moe_num_shared_experts");
  const nn::Routing routing = nn::scores_of_largest(config.integer("moe_topk"), nn::softmax_scores);
  const auto mixture = [&](const Scope& s) {
    const nn::Linear router(s / "router", sizes.hidden_size, sizes.experts, false);
    return nn::SparseMixture(s.path(), nn::Router(router, routing),
                             nn::Experts(experts(s / "experts", sizes), "silu"));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope mlp = s / "mlp";
    return c.block(s, c.attention(s / "self_attn", i),
                   nn::sum_of(mixture(mlp), mlp_of_width(c, mlp / "shared_experts", shared, mlp_bias)));
  });
}

}  // namespace

void register_aria_text(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "aria_text",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = {.newer = {{"experts.fc1.weight", "experts.gate_up_proj"},
                               {"experts.fc2.weight", "experts.down_proj"}},
                     .embeddings = {"model.embed_tokens.weight"},
                     .head = "lm_head.weight"}});
}

}  // namespace onnxport::models
