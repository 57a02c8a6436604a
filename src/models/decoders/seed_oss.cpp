// Seed-OSS. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/seed_oss/modeling_seed_oss.py
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
  const bool bias = c.attention_bias, mlp_bias = config.flag("mlp_bias", false);
  c.attention_bias = config.flag("attention_out_bias", false);  // of the output
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope attention = s / "self_attn";
    auto qkv = nn::QkvProjection::separate(attention, c.heads, bias);
    return c.block(s, c.attention(attention, i, {}, std::move(qkv)), c.mlp(s / "mlp", mlp_bias));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("seed_oss", "SeedOssForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm"}};
  });
  add_config(layout, whether_stored("attention_bias", "blk.0.attn_q.bias"));
  add_config(layout, whether_stored("attention_out_bias", "blk.0.attn_output.bias"));
  return layout;
}

}  // namespace

void register_seed_oss(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "seed_oss",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
