// dots.llm1. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/dots1/modeling_dots1.py
#include "models/common/definition.h"
#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// The layers that `layer_types` names have a window, or else those from `max_window_layers` on.
std::vector<nn::Visibility> visibility(const PretrainedConfig& config, std::int64_t layers) {
  const auto window = config.maybe_integer("sliding_window");
  const std::int64_t first = config.integer("max_window_layers");
  std::vector<std::string> types;
  if (config.has("layer_types")) {
    types = config.strings("layer_types");
  } else {
    for (std::int64_t i = 0; i < layers; ++i)
      types.emplace_back(window && i >= first ? "sliding_attention" : "full_attention");
  }
  std::vector<nn::Visibility> visible = layer_visibility(types, layers, window.value_or(0));
  if (!window) visible.assign(visible.size(), {});
  return visible;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  const std::vector<nn::Visibility> visible = visibility(config, c.num_hidden_layers);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.normed_attention(s / "self_attn", i, visible.at(static_cast<std::size_t>(i))),
                   deepseek_mlp(s / "mlp", i, config, c));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("dots1", "Dots1ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  add_deepseek_mixture(layout);
  return layout;
}

}  // namespace

void register_dots1(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "dots1",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
