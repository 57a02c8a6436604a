// HunYuan, the dense models. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/hunyuan_v1_dense/modeling_hunyuan_v1_dense.py
#include <cmath>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/hunyuan.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c = hunyuan_config(model.config());
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, hunyuan_attention(c, s / "self_attn", i), c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("hunyuan-dense", "HunYuanDenseV1ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.attn_q_norm", "model.layers.{}.self_attn.query_layernorm"},
            {"blk.{}.attn_k_norm", "model.layers.{}.self_attn.key_layernorm"}};
  });
  return layout;
}

}  // namespace

TextDecoderConfig hunyuan_config(const PretrainedConfig& config) {
  TextDecoderConfig c(config);
  config.harmless({"eod_token_id"});  // for generation
  if (c.rope.type != "dynamic") return c;
  const PretrainedConfig rope = config.sub(config.has("rope_scaling") ? "rope_scaling" : "rope_parameters");
  const double alpha = rope.maybe_real("alpha").value_or(0);
  if (alpha == 0) return c;
  // A larger base that depends on no length.
  rope.harmless({"beta_fast", "beta_slow", "mscale", "mscale_all_dim"});
  const auto dim = static_cast<double>(c.rope.dim);
  c.rope.type = "default";
  c.rope.theta *= std::pow(alpha, dim / (dim - 2));
  return c;
}

nn::CausalAttentionParts hunyuan_attention(const TextDecoderConfig& c, const Scope& s, std::int64_t layer) {
  nn::CausalAttentionParts attention = c.attention(s, layer);
  c.norm_heads(attention, s / "query_layernorm", s / "key_layernorm");
  attention.norm_place = nn::NormPlace::after_rotation;
  return attention;
}

void register_hunyuan_v1_dense(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "hunyuan_v1_dense",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
