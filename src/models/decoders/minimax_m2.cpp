// MiniMax M2. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/minimax_m2/modeling_minimax_m2.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/olmo.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// Published files give the number of elements that turn, files of version 5 their part of a head.
bool knows_part(const PretrainedConfig& config) {
  return config.has("rope_parameters") && config.sub("rope_parameters").has("partial_rotary_factor");
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.attention_bias = false;  // no key of this class, though files may have it
  const auto turning = config.maybe_integer("rotary_dim");
  if (turning && !knows_part(config)) c.rope.dim = *turning;
  const nn::ExpertSizes experts{c.hidden_size, c.intermediate_size, config.integer("num_local_experts")};
  const std::int64_t k = config.integer("num_experts_per_tok");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope mlp = s / "block_sparse_moe";
    const nn::Scores preference = nn::plus_bias(mlp.weight("e_score_correction_bias", {experts.experts}));
    const nn::Routing routing = nn::normalized(nn::preferred_scores(op::sigmoid, preference, k));
    return c.block(
        s, olmo2_attention(c, s / "self_attn", i),
        nn::SparseMixture(mlp, experts, routing, c.hidden_act, {.gate = "w1", .up = "w3", .down = "w2"}));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("minimax-m2", "MiniMaxM2ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"rope.dimension_count", "rotary_dim"},
                    {"expert_count", "num_local_experts"},
                    {"expert_used_count", "num_experts_per_tok"}});
  change_names(layout, [](const PretrainedConfig&) {
    GgufTensors names = gguf_experts("block_sparse_moe", "w1", "w3", "w2");
    names.push_back({"blk.{}.exp_probs_b.bias", "model.layers.{}.block_sparse_moe.e_score_correction_bias"});
    return names;
  });
  return layout;
}

}  // namespace

void register_minimax_m2(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"block_sparse_moe", "mlp"}};
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>({.model_type = "minimax_m2",
                                                              .tasks = nn::text_decoder_tasks({}),
                                                              .forward = forward,
                                                              .key_names = names,
                                                              .gguf = gguf()});
}

}  // namespace onnxport::models
