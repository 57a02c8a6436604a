// Qwen3 with a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3_moe/modeling_qwen3_moe.py
#include <algorithm>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/qwen.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  const nn::Routing routing = softmax_routing(config);
  const std::vector<bool> sparse = qwen_sparse_layers(config, c.num_hidden_layers, experts.experts);
  nn::Visibility visible;
  const bool use_window = config.flag("use_sliding_window", false);
  const auto window = config.maybe_integer("sliding_window");
  if (use_window) visible.window = window;
  config.harmless({"max_window_layers"});  // the original windows all layers or none
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const auto mlp = [&]() -> nn::FeedForward {
      if (sparse[static_cast<std::size_t>(i)])
        return nn::SparseMixture(s / "mlp", experts, routing, c.hidden_act);
      return c.mlp(s / "mlp");
    };
    return c.block(s, c.normed_attention(s / "self_attn", i, visible), mlp());
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("qwen3moe", "Qwen3MoeForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"expert_count", "num_experts"},
                    {"expert_used_count", "num_experts_per_tok"},
                    {"expert_feed_forward_length", "moe_intermediate_size"}});
  // Every published model of this type has this value, and llama.cpp assumes it.
  add_config(layout, [](const GgufInfo&) { return ConfigTexts{{"norm_topk_prob", "true"}}; });
  change_names(layout, [](const PretrainedConfig&) {
    return gguf_experts("mlp", "gate_proj", "up_proj", "down_proj");
  });
  return layout;
}

}  // namespace

std::vector<bool> qwen_sparse_layers(const PretrainedConfig& config, std::int64_t layers,
                                     std::int64_t experts) {
  const std::int64_t step = std::max<std::int64_t>(config.integer("decoder_sparse_step"), 1);
  const std::vector<std::int64_t> dense =
      config.has("mlp_only_layers") ? config.integers("mlp_only_layers") : std::vector<std::int64_t>();
  std::vector<bool> sparse;
  for (std::int64_t i = 0; i < layers; ++i) {
    const bool listed = std::find(dense.begin(), dense.end(), i) != dense.end();
    sparse.push_back(!listed && experts > 0 && (i + 1) % step == 0);
  }
  return sparse;
}

void register_qwen3_moe(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "qwen3_moe",
       .tasks = nn::text_decoder_tasks({"text-classification", "token-classification"}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
