// OLMoE. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/olmoe/modeling_olmoe.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/olmo.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// Keeps queries, keys and values between -bound and bound, behind the norms.
void clip(nn::CausalAttentionParts& attention, double bound) {
  const auto clipped = [bound](Value x) { return op::clamp(x, -bound, bound); };
  for (auto* norm : {&attention.query_norm, &attention.key_norm})
    *norm = [before = *norm, clipped](Value x) { return clipped(before(x)); };
  attention.qkv = [before = attention.qkv, clipped](Value x, const nn::DecoderPass& pass) {
    nn::QueryKeyValue now = before(x, pass);
    now.value = clipped(now.value);
    return now;
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.add_masks_in_version_4(config);
  const nn::ExpertSizes experts{c.hidden_size, c.intermediate_size, config.integer("num_experts")};
  const nn::Routing routing = softmax_routing(config);
  const auto bound = config.maybe_real("clip_qkv");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = olmo2_attention(c, s / "self_attn", i);
    if (bound) clip(attention, *bound);
    return c.block(s, std::move(attention), nn::SparseMixture(s / "mlp", experts, routing, c.hidden_act));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("olmoe", "OlmoeForCausalLM");
  add_expert_keys(layout, "num_experts");
  add_keys(layout, {{"attention.clamp_kqv", "clip_qkv"}});
  change_names(layout, [](const PretrainedConfig&) {
    return gguf_experts("mlp", "gate_proj", "up_proj", "down_proj");
  });
  return layout;
}

}  // namespace

void register_olmoe(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "olmoe",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
