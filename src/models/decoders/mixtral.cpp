// Mixtral. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mixtral/modeling_mixtral.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.attention_bias = false;  // no key of this class, though files may have it
  const nn::ExpertSizes experts{c.hidden_size, c.intermediate_size, config.integer("num_local_experts")};
  const nn::Routing routing =
      nn::normalized(nn::largest_scores(nn::softmax_scores, config.integer("num_experts_per_tok")));
  const nn::Visibility visible{.window = config.maybe_integer("sliding_window")};
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i, visible),
                   nn::SparseMixture(s / "block_sparse_moe", experts, routing, c.hidden_act,
                                     {.gate = "w1", .up = "w3", .down = "w2"}));
  });
}

GgufLayout gguf() {
  GgufLayout layout = turning_gguf("MixtralForCausalLM");
  layout.matches = has_gguf_experts;
  add_keys(layout, {{"expert_count", "num_local_experts"}, {"expert_used_count", "num_experts_per_tok"}});
  change_names(layout,
               [](const PretrainedConfig&) { return gguf_experts("block_sparse_moe", "w1", "w3", "w2"); });
  return layout;
}

}  // namespace

void register_mixtral(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "mixtral",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = {.newer = {{"block_sparse_moe", "mlp"}},
                     .embeddings = {"model.embed_tokens.weight"},
                     .head = "lm_head.weight"},
       .gguf = gguf()});
}

}  // namespace onnxport::models
