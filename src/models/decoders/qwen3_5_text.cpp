// Qwen3.5, its language model alone. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/qwen3_5/modeling_qwen3_5.py
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
  const nn::Linear qkv(s / "in_proj_qkv", z.hidden_size, z.convolved(), false);
  const nn::Linear gate(s / "in_proj_z", z.hidden_size, z.values(), false);
  const nn::Linear beta(s / "in_proj_b", z.hidden_size, z.value_heads, false);
  const nn::Linear step(s / "in_proj_a", z.hidden_size, z.value_heads, false);
  const Weight shift = s.weight("dt_bias", {z.value_heads}), decay = nn::state_decay(s, {z.value_heads});
  return nn::GatedDeltaNet(qwen_delta_parts(s, layer, c, z, [=](Value x) -> nn::DeltaInputs {
    const Value mixed = qkv(x), opened = gate(x), rate = nn::delta_beta(beta(x));
    return {.mixed = mixed, .gate = opened, .beta = rate, .decay = nn::delta_decay(step(x), shift, decay)};
  }));
}

// The configuration of the language model, of a model with a vision tower too.
PretrainedConfig language_config(const PretrainedConfig& whole) {
  if (!whole.has("text_config")) return whole;
  // Only images read these; the language model has a flag of its own.
  whole.harmless({"vision_config", "image_token_id", "video_token_id", "vision_start_token_id",
                  "vision_end_token_id", "tie_word_embeddings"});
  return whole.sub("text_config", whole.model_type() + "_text");
}

NamedValues forward_language(const Inputs& inputs, const Model& model, const Component& component,
                             const PretrainedConfig& config, TextDecoderConfig c,
                             const MakeFeedForward& mlp) {
  c.norm_parameters.offset = 1;
  c.rope.axes = axes_in_turns(config, {11, 11, 10}, c.rope.dim / 2);
  c.num_labels = model.config().num_labels();
  if (component.task != "text-classification") config.harmless({"pad_token_id"});
  const Scope root = model.scope();
  // An output layer in the file counts, whatever the flag says.
  c.tie_word_embeddings = c.tie_word_embeddings && !(root / "lm_head").stores("weight");
  const auto make_delta_net = [&](const Scope& s, std::int64_t i, const nn::DeltaSizes& sizes) {
    return delta_net(s, i, c, sizes);
  };
  return forward_text_decoder(inputs, {root.base_model("model"), root / "lm_head", root}, component, c,
                              qwen_hybrid_blocks(config, c, make_delta_net, mlp));
}

}  // namespace

NamedValues forward_qwen3_5(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = language_config(model.config());
  const TextDecoderConfig c(config);
  return forward_language(inputs, model, component, config, c,
                          [&](const Scope& s, std::int64_t) { return c.mlp(s); });
}

NamedValues forward_qwen3_5_moe(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = language_config(model.config());
  const nn::ExpertSizes experts{config.integer("hidden_size"), config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  const std::int64_t shared = config.integer("shared_expert_intermediate_size");
  // No layer is dense, though files may have the key.
  const TextDecoderConfig c(config.settled("intermediate_size", std::to_string(shared)));
  const nn::Routing routing =
      nn::normalized(nn::largest_scores(nn::softmax_scores, config.integer("num_experts_per_tok")));
  config.harmless({"router_aux_loss_coef"});  // of training
  return forward_language(inputs, model, component, config, c,
                          [&](const Scope& s, std::int64_t) -> nn::FeedForward {
                            const nn::SparseMixture mixture(s, experts, routing, c.hidden_act);
                            return nn::sum_of(mixture, qwen_shared_expert(s, c, shared));
                          });
}

KeyNames qwen3_5_key_names() {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"model.", "model.language_model."}};
  return names;
}

std::vector<std::string> qwen3_5_ignorable_keys() { return {"mtp.*", "model.visual.*"}; }

void register_qwen3_5_text(TasksManager& tasks) {
  tasks.register_model<QwenHybridOnnxConfig>({.model_type = "qwen3_5_text",
                                              .tasks = nn::text_decoder_tasks(),
                                              .forward = forward_qwen3_5,
                                              .ignorable_keys = qwen3_5_ignorable_keys(),
                                              .key_names = qwen3_5_key_names()});
}

}  // namespace onnxport::models
