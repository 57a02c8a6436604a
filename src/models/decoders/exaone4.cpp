// EXAONE 4.0. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/exaone4/modeling_exaone4.py
#include <utility>

#include "models/common/definition.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class Exaone4OnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
};

// Of files without layer_types.
std::int64_t pattern(const PretrainedConfig& config) {
  return config.has("layer_types") ? 0 : config.integer("sliding_window_pattern");
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.attention_bias = false;  // no key of this class, though files may have it
  const auto window = config.maybe_integer("sliding_window");
  if (config.has("layer_types")) config.harmless({"sliding_window_pattern"});  // in words, such as LLLG
  const auto types = layer_types(config, c.num_hidden_layers, pattern(config));
  const auto visible = layer_visibility(types, c.num_hidden_layers, window.value_or(0));
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = c.normed_attention(s / "self_attn", i, visible.at(i));
    if (window && !visible.at(i).window) attention.rotary.reset();
    return c.post_normed_block(s, std::move(attention), c.mlp(s / "mlp"));
  });
}

}  // namespace

void register_exaone4(TasksManager& tasks) {
  tasks.register_model<Exaone4OnnxConfig>({.model_type = "exaone4",
                                           .tasks = nn::text_decoder_tasks({}),
                                           .forward = forward,
                                           .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
