// The language model of Qwen3-VL: Qwen3 with positions of three axes, whose first layers take further
// features of images. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3_vl/modeling_qwen3_vl.py
#include <memory>

#include "models/common/definition.h"
#include "models/decoders/common/qwen.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c = qwen3_vl_config(model.config());
  return forward_text_decoder(inputs, model, component, c, deepstack(c, [&](const Scope& s, std::int64_t i) {
                                return c.block(s, c.normed_attention(s / "self_attn", i), c.mlp(s / "mlp"));
                              }));
}

}  // namespace

TextDecoderConfig qwen3_vl_config(const PretrainedConfig& config) {
  TextDecoderConfig c(config);
  c.rope.axes = axes_in_turns(config, {24, 20, 20}, c.rope.dim / 2);
  return c;
}

std::vector<std::int64_t> axes_in_turns(const PretrainedConfig& config, std::vector<std::int64_t> sections,
                                        std::int64_t pairs) {
  const char* const key = config.given("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (config.has(key)) {
    const PretrainedConfig rope = config.sub(key);
    if (rope.has("mrope_section")) sections = rope.integers("mrope_section");
  }
  return nn::axes_in_turns(sections, pairs);
}

nn::MakeBlock deepstack(const TextDecoderConfig& c, const nn::MakeBlock& make_block) {
  const auto given = std::make_shared<Value>();  // [B, S, H * (1 + further)], once the first layer has it
  return [=, width = c.hidden_size](const Scope& s, std::int64_t i) -> nn::Block {
    return [=, inner = make_block(s, i)](Value x, nn::DecoderPass& pass) {
      if (i == 0) {
        *given = x;
        x = op::slice(x, 2, 0, width);
      }
      x = inner(x, pass);
      const std::int64_t begin = (i + 1) * width;
      if (begin >= *given->dim(2).constant()) return x;
      return op::add(x, op::slice(*given, 2, begin, begin + width));
    };
  };
}

void register_qwen3_vl_text(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "qwen3_vl_text",
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .roles = {.language_model = LanguageModelRole{}}});
}

}  // namespace onnxport::models
