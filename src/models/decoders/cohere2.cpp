// Cohere 2 (Command R7B). Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/cohere2/modeling_cohere2.py
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.make_norm = layer_norms_without_bias(config.real("layer_norm_eps"));
  c.logit_scale = config.real("logit_scale");
  c.rope.interleaved = true;
  const std::int64_t pattern = config.integer("sliding_window_pattern", 4);
  const auto visible = layer_visibility(layer_types(config, c.num_hidden_layers, pattern),
                                        c.num_hidden_layers, config.integer("sliding_window"));
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = c.attention(s / "self_attn", i, visible.at(i));
    if (!visible.at(i).window) attention.rotary.reset();
    return c.parallel_block(s, std::move(attention), c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("cohere2", "Cohere2ForCausalLM");
  add_keys(layout, {{"attention.layer_norm_epsilon", "layer_norm_eps"},
                    {"attention.key_length", "head_dim"},
                    {"attention.sliding_window", "sliding_window"},
                    {"logit_scale", "logit_scale"}});
  return layout;
}

}  // namespace

void register_cohere2(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "cohere2",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
