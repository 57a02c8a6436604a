// Qwen3-Next. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3_next/modeling_qwen3_next.py
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/qwen.h"
#include "models/decoders/common/qwen_hybrid.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/delta_rule.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

nn::Mixer delta_net(const Scope& s, std::int64_t layer, const TextDecoderConfig& c, const nn::DeltaSizes& z) {
  const std::int64_t each = z.value_heads / z.key_heads, values = each * z.value_dim;
  const Scope first = s / "in_proj_qkvz", second = s / "in_proj_ba";
  const std::vector<Weight> qkvz =
      parts_of_rows(first.weight("weight", {z.convolved() + z.values(), z.hidden_size}), z.key_heads,
                    {z.key_dim, z.key_dim, values, values});
  const std::vector<Weight> ba =
      parts_of_rows(second.weight("weight", {2 * z.value_heads, z.hidden_size}), z.key_heads, {each, each});
  const nn::Linear in_proj_qkvz(first.path(), Weight::concat(qkvz, 0), {});
  const nn::Linear in_proj_ba(second.path(), Weight::concat(ba, 0), {});
  const Weight shift = s.weight("dt_bias", {z.value_heads}), decay = nn::state_decay(s, {z.value_heads});
  return nn::GatedDeltaNet(qwen_delta_parts(s, layer, c, z, [=](Value x) -> nn::DeltaInputs {
    const auto mixed = op::split(in_proj_qkvz(x), -1, {z.convolved(), z.values()});
    const auto rates = op::chunk(in_proj_ba(x), -1, 2);
    const Value beta = nn::delta_beta(rates[0]);
    return {
        .mixed = mixed[0], .gate = mixed[1], .beta = beta, .decay = nn::delta_decay(rates[1], shift, decay)};
  }));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.norm_parameters.offset = 1;
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  const std::int64_t shared = config.integer("shared_expert_intermediate_size");
  const nn::Routing routing = softmax_routing(config);
  const std::vector<bool> sparse = qwen_sparse_layers(config, c.num_hidden_layers, experts.experts);
  config.harmless({"router_aux_loss_coef"});  // of training
  const auto make_delta_net = [&](const Scope& s, std::int64_t i, const nn::DeltaSizes& sizes) {
    return delta_net(s, i, c, sizes);
  };
  const auto mlp = [&](const Scope& s, std::int64_t i) -> nn::FeedForward {
    if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(s);
    return nn::sum_of(nn::SparseMixture(s, experts, routing, c.hidden_act), qwen_shared_expert(s, c, shared));
  };
  return forward_text_decoder(inputs, model, component, c,
                              qwen_hybrid_blocks(config, c, make_delta_net, mlp));
}

}  // namespace

void register_qwen3_next(TasksManager& tasks) {
  tasks.register_model<QwenHybridOnnxConfig>({.model_type = "qwen3_next",
                                              .tasks = nn::text_decoder_tasks(),
                                              .forward = forward,
                                              .ignorable_keys = {"mtp.*"},
                                              .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
