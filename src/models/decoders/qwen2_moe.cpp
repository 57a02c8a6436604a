// Qwen2 with a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen2_moe/modeling_qwen2_moe.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/qwen.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// Version 5 names the layers with a window; in version 4, all have it or none.
std::vector<nn::Visibility> visibility(const PretrainedConfig& config, std::int64_t layers) {
  config.harmless({"max_window_layers"});
  if (config.has("layer_types")) return qwen_layer_visibility(config, layers);
  nn::Visibility visible;
  const auto window = config.maybe_integer("sliding_window");
  if (config.flag("use_sliding_window")) visible.window = window;
  return std::vector<nn::Visibility>(static_cast<std::size_t>(layers), visible);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.attention_bias = false;  // no key of this class, though files may have it
  c.add_masks_in_version_4(config);
  const bool bias = config.flag("qkv_bias", true);
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  const std::int64_t shared = config.integer("shared_expert_intermediate_size");
  const nn::Routing routing = softmax_routing(config);
  const std::vector<bool> sparse = qwen_sparse_layers(config, c.num_hidden_layers, experts.experts);
  const std::vector<nn::Visibility> visible = visibility(config, c.num_hidden_layers);
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (!sparse.at(static_cast<std::size_t>(layer))) return c.mlp(s);
    return nn::sum_of(nn::SparseMixture(s, experts, routing, c.hidden_act), qwen_shared_expert(s, c, shared));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    const auto qkv = nn::QkvProjection::separate(self, c.heads, bias);
    return c.block(s, c.attention(self, i, visible.at(static_cast<std::size_t>(i)), qkv), mlp(s / "mlp", i));
  });
}

}  // namespace

GgufLayout gguf_qwen2_moe(std::string architecture, std::string original_class) {
  GgufLayout layout = llama_like_gguf(std::move(architecture), std::move(original_class));
  add_expert_keys(layout, "num_experts");
  add_keys(layout, {{"expert_shared_feed_forward_length", "shared_expert_intermediate_size"}});
  change_names(layout, [](const PretrainedConfig&) {
    GgufTensors names = gguf_experts("mlp", "gate_proj", "up_proj", "down_proj");
    for (GgufTensor& one : gguf_shared_expert("mlp.shared_expert")) names.push_back(std::move(one));
    const auto row = [](const Weight& stored) { return stored.reshape({1, stored.numel()}); };
    names.push_back({"blk.{}.ffn_gate_inp_shexp", "model.layers.{}.mlp.shared_expert_gate", row});
    return names;
  });
  return layout;
}

nn::FeedForward qwen_shared_expert(const Scope& s, const TextDecoderConfig& c, std::int64_t width) {
  const nn::GatedMlp expert = mlp_of_width(c, s / "shared_expert", width);
  const nn::Linear gate(s / "shared_expert_gate", c.hidden_size, 1, false);
  return [=](Value x) {
    const Value share = op::sigmoid(gate(x));
    return op::mul(share, expert(x));
  };
}

void register_qwen2_moe(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "qwen2_moe",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf_qwen2_moe("qwen2moe", "Qwen2MoeForCausalLM")});
}

}  // namespace onnxport::models
