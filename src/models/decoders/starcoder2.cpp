// StarCoder2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/starcoder2/modeling_starcoder2.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.tie_word_embeddings = config.flag("tie_word_embeddings", true);
  c.make_norm = layer_norms(config.real("norm_epsilon"));
  c.attention_bias = config.flag("use_bias");
  const nn::Visibility visible{.window = config.maybe_integer("sliding_window")};
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i, visible),
                   c.plain_mlp(s / "mlp", c.attention_bias, "c_fc", "c_proj"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("starcoder2", "Starcoder2ForCausalLM");
  add_keys(layout, {{"attention.layer_norm_epsilon", "norm_epsilon"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.ffn_up", "model.layers.{}.mlp.c_fc"}, {"blk.{}.ffn_down", "model.layers.{}.mlp.c_proj"}};
  });
  add_config(layout, whether_stored("use_bias", "blk.0.attn_q.bias"));
  return layout;
}

}  // namespace

void register_starcoder2(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "starcoder2",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
