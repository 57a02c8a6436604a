// Flint. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/flint/modeling_flint.py
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/layers.h"
#include "models/decoders/common/qwen.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& given = model.config();
  const PretrainedConfig config =
      given.has("mlp_only_layers") ? given : given.settled("mlp_only_layers", "[0, 1]");
  const TextDecoderConfig c(config);
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  const std::int64_t shared = config.integer("shared_expert_intermediate_size");
  nn::Routing routing = nn::largest_scores(op::sigmoid, config.integer("num_experts_per_tok"));
  if (config.flag("norm_topk_prob")) routing = nn::normalized(routing);
  config.harmless({"router_aux_loss_coef"});  // of training
  const std::vector<bool> sparse = qwen_sparse_layers(config, c.num_hidden_layers, experts.experts);
  const auto visible = layer_visibility(config, c.num_hidden_layers, [&](std::int64_t i) {
    return i < 2 || i % 4 == 1 || i == c.num_hidden_layers - 1;
  });
  const auto mlp = [&](const Scope& s, std::int64_t i) -> nn::FeedForward {
    if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(s);
    return nn::sum_of(nn::SparseMixture(s, experts, routing, c.hidden_act),
                      mlp_of_width(c, s / "shared_expert", shared));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    nn::CausalAttentionParts attention = c.normed_attention(self, i, visible.at(i));
    attention.sinks = self.weight("softmax_offset", {c.heads.heads});
    attention.score_dtype = DType::f32;  // as in the original, also in half precision
    if (!visible.at(i).window) attention.rotary.reset();
    return c.block(s, std::move(attention), mlp(s / "mlp", i));
  });
}

}  // namespace

void register_flint(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "flint",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = {.newer = {{"self_attn.softmax_offset", "self_attn.sinks"}},
                     .embeddings = {"model.embed_tokens.weight"},
                     .head = "lm_head.weight"}});
}

}  // namespace onnxport::models
