// Jais 2. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/jais2/modeling_jais2.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.make_norm = layer_norms(config.real("layer_norm_eps"));
  const bool mlp_bias = config.flag("mlp_bias");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i), c.plain_mlp(s / "mlp", mlp_bias));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("jais2", "Jais2ForCausalLM");
  add_keys(layout,
           {{"attention.layer_norm_epsilon", "layer_norm_eps"}, {"rope.dimension_count", "head_dim"}});
  add_config(layout, whether_stored("attention_bias", "blk.0.attn_q.bias"));
  add_config(layout, whether_stored("mlp_bias", "blk.0.ffn_up.bias"));
  return layout;
}

}  // namespace

void register_jais2(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "jais2",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
