// ERNIE 4.5 with a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/ernie4_5_moe/modeling_ernie4_5_moe.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// A mixture whose choice has a bias, and an expert that all tokens pass.
nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const std::int64_t width = config.integer("moe_intermediate_size");
  const nn::ExpertSizes experts{c.hidden_size, width, config.integer("moe_num_experts")};
  const Weight bias = (s / "moe_statics").weight("e_score_correction_bias", {1, experts.experts});
  const nn::Routing routing =
      nn::normalized(nn::preferred_scores(nn::softmax_scores, nn::plus_bias(bias), config.integer("moe_k")),
                     config.real("moe_norm_min"));
  nn::SparseMixture sparse(s, experts, routing, c.hidden_act);
  const std::int64_t shared = config.integer("moe_num_shared_experts");
  if (shared <= 0) return sparse;
  return nn::sum_of(sparse, mlp_of_width(c, s / "shared_experts", width * shared, c.attention_bias));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  const bool bias = config.flag("use_bias");
  c.attention_bias = bias;
  if (bias) c.head_bias = "bias";
  c.rope.interleaved = true;
  const std::int64_t first = config.integer("moe_layer_start_index");
  const std::int64_t end = config.integer("moe_layer_end_index");
  const std::int64_t last = end == -1 ? c.num_hidden_layers - 1 : end;
  const std::int64_t step = interval_of(config, "moe_layer_interval");
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (layer < first || layer > last || (layer + 1) % step != 0) return c.mlp(s, bias);
    return mixture(s, config, c);
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i), mlp(s / "mlp", i));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("ernie4_5-moe", "Ernie4_5_MoeForCausalLM");
  add_expert_keys(layout, "moe_num_experts", "moe_k");
  add_keys(layout, {{"expert_shared_count", "moe_num_shared_experts"},
                    {"leading_dense_block_count", "moe_layer_start_index"},
                    {"interleave_moe_layer_step", "moe_layer_interval"}});
  change_names(layout, [](const PretrainedConfig&) {
    GgufTensors names = gguf_experts("mlp", "gate_proj", "up_proj", "down_proj");
    for (GgufTensor& one : gguf_shared_expert("mlp.shared_experts")) names.push_back(std::move(one));
    const auto row = [](const Weight& stored) { return stored.reshape({1, stored.numel()}); };
    names.push_back(
        {"blk.{}.exp_probs_b.bias", "model.layers.{}.mlp.moe_statics.e_score_correction_bias", row});
    return names;
  });
  return layout;
}

}  // namespace

void register_ernie4_5_moe(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "ernie4_5_moe",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"*mtp*"},  // these predict further tokens
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
