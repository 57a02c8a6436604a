// Gemma 2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gemma2/modeling_gemma2.py
#include <cmath>

#include "models/common/definition.h"
#include "models/decoders/common/gemma.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c = gemma2_config(config);
  const LayerAttention attention = gemma2_attention(config, c);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return gemma2_block(c, s, attention(s / "self_attn", i));
  });
}

}  // namespace

op::AttentionOptions gemma2_attention_options(const PretrainedConfig& config, TextDecoderConfig& c) {
  op::AttentionOptions options{.scale = 1 / std::sqrt(config.real("query_pre_attn_scalar"))};
  // The default attention of transformers 4 knows no cap. Version 5 computes these types only eagerly.
  const bool eager = eager_attention(config) || config.transformers_major() >= 5;
  const auto cap = config.maybe_real("attn_logit_softcapping");
  if (eager) {
    options.softcap = cap.value_or(0);
    c.no_keys = op::NoKeys::uniform;
  }
  return options;
}

LayerAttention gemma2_attention(const PretrainedConfig& config, TextDecoderConfig& c) {
  const op::AttentionOptions options = gemma2_attention_options(config, c);
  const auto visible = layer_visibility(layer_types(config, c.num_hidden_layers, 2), c.num_hidden_layers,
                                        config.integer("sliding_window"));
  return [c, options, visible](const Scope& s, std::int64_t layer) {
    nn::CausalAttentionParts attention = c.attention(s, layer, visible.at(static_cast<std::size_t>(layer)));
    attention.options = options;
    return attention;
  };
}

void register_gemma2(TasksManager& tasks) {
  tasks.register_model<TextDecoderOnnxConfig>({.model_type = "gemma2",
                                               .tasks = nn::text_decoder_tasks(),
                                               .forward = forward,
                                               .key_names = tied("model.embed_tokens", "lm_head"),
                                               .gguf = gguf_later_gemma("gemma2", "Gemma2ForCausalLM", 46)});
}

}  // namespace onnxport::models
