// Qwen2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen2/modeling_qwen2.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/qwen.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return forward_qwen2(inputs, model, component, TextDecoderConfig(model.config()));
}

}  // namespace

NamedValues forward_qwen2(const Inputs& inputs, const Model& model, const Component& component,
                          TextDecoderConfig c) {
  c.attention_bias = false;  // no key of this class, though files may have it
  const std::vector<nn::Visibility> visible = qwen_layer_visibility(model.config(), c.num_hidden_layers);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope attention = s / "self_attn";
    auto qkv = nn::QkvProjection::separate(attention, c.heads, true);
    return c.block(s, c.attention(attention, i, visible.at(i), std::move(qkv)), c.mlp(s / "mlp"));
  });
}

std::vector<nn::Visibility> qwen_layer_visibility(const PretrainedConfig& config, std::int64_t layers) {
  const bool use = config.flag("use_sliding_window", false);
  const auto window = config.maybe_integer("sliding_window");
  const std::int64_t first = config.integer("max_window_layers", 0);
  std::vector<std::string> types;
  if (config.has("layer_types")) {
    types = config.strings("layer_types");
  } else {
    for (std::int64_t i = 0; i < layers; ++i)
      types.emplace_back(i >= first ? "sliding_attention" : "full_attention");
  }
  if (use && window) return layer_visibility(types, layers, *window);
  return std::vector<nn::Visibility>(static_cast<std::size_t>(layers));
}

void register_qwen2(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "qwen2",
       .tasks = nn::text_decoder_tasks({"text-classification", "token-classification"}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = llama_like_gguf("qwen2", "Qwen2ForCausalLM")});
}

}  // namespace onnxport::models
