// Qwen3-Next. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3_next/modeling_qwen3_next.py
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
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
  const auto rows_of_qkvz = [&]() -> std::vector<Weight> {
    if (const Scope qkv = s / "in_proj_qkv"; qkv.exists()) {  // of a GGUF file
      return {qkv.weight("weight", {z.convolved(), z.hidden_size}),
              (s / "in_proj_z").weight("weight", {z.values(), z.hidden_size})};
    }
    return parts_of_rows(first.weight("weight", {z.convolved() + z.values(), z.hidden_size}), z.key_heads,
                         {z.key_dim, z.key_dim, values, values});
  };
  const std::vector<Weight> ba =
      parts_of_rows(second.weight("weight", {2 * z.value_heads, z.hidden_size}), z.key_heads, {each, each});
  const nn::Linear in_proj_qkvz(first.path(), Weight::concat(rows_of_qkvz(), 0), {});
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
  // Version 4 has SiLU behind the convolutions, whatever the configuration says.
  TextDecoderConfig mixers = c;
  if (config.transformers_major() < 5) mixers.hidden_act = "silu";
  const auto make_delta_net = [&](const Scope& s, std::int64_t i, const nn::DeltaSizes& sizes) {
    return delta_net(s, i, mixers, sizes);
  };
  const auto mlp = [&](const Scope& s, std::int64_t i) -> nn::FeedForward {
    if (!sparse.at(static_cast<std::size_t>(i))) return c.mlp(s);
    return nn::sum_of(nn::SparseMixture(s, experts, routing, c.hidden_act), qwen_shared_expert(s, c, shared));
  };
  return forward_text_decoder(inputs, model, component, c,
                              qwen_hybrid_blocks(config, c, make_delta_net, mlp));
}

ConfigTexts recurrence(const GgufInfo& file) {
  // Every published model of this type has this value, and llama.cpp assumes it.
  ConfigTexts texts = {{"norm_topk_prob", "true"}};
  const std::int64_t heads = file.integer("qwen3next.ssm.time_step_rank").value_or(0);
  if (heads > 0) {
    texts["linear_value_head_dim"] =
        std::to_string(file.integer("qwen3next.ssm.inner_size").value_or(0) / heads);
  }
  return texts;
}

GgufLayout gguf() {
  GgufLayout layout = gguf_qwen2_moe("qwen3next", "Qwen3NextForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"full_attention_interval", "full_attention_interval"},
                    {"ssm.conv_kernel", "linear_conv_kernel_dim"},
                    {"ssm.state_size", "linear_key_head_dim"},
                    {"ssm.group_count", "linear_num_key_heads"},
                    {"ssm.time_step_rank", "linear_num_value_heads"}});
  add_config(layout, recurrence);
  add_config(layout, partial_rotary);
  add_names(layout, {{"output_norm", "model.norm", minus_one},
                     {"blk.{}.ssm_conv1d", "model.layers.{}.linear_attn.conv1d", gguf_conv1d}});
  add_layer_names(layout,
                  {{"attn_norm", "input_layernorm"},
                   {"post_attention_norm", "post_attention_layernorm"},
                   {"attn_q_norm", "self_attn.q_norm"},
                   {"attn_k_norm", "self_attn.k_norm"}},
                  minus_one);
  add_layer_names(layout, {{"attn_qkv", "linear_attn.in_proj_qkv"},
                           {"attn_gate", "linear_attn.in_proj_z"},
                           {"ssm_in", "linear_attn.in_proj_qkvz"},
                           {"ssm_ba", "linear_attn.in_proj_ba"},
                           {"ssm_a", "linear_attn.A"},
                           {"ssm_dt.bias", "linear_attn.dt_bias"},
                           {"ssm_norm", "linear_attn.norm"},
                           {"ssm_out", "linear_attn.out_proj"}});
  return layout;
}

}  // namespace

void register_qwen3_next(TasksManager& tasks) {
  tasks.register_model<QwenHybridOnnxConfig>({.model_type = "qwen3_next",
                                              .tasks = nn::text_decoder_tasks(),
                                              .forward = forward,
                                              .ignorable_keys = {"mtp.*"},
                                              .key_names = tied("model.embed_tokens", "lm_head"),
                                              .gguf = gguf()});
}

}  // namespace onnxport::models
