// Cohere (Command R). Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/cohere/modeling_cohere.py
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

std::function<Value(Value)> head_norm(const Scope& s, std::int64_t heads, std::int64_t head_dim, double eps) {
  return nn::layer_norm_of_heads(s.path(), s.weight("weight", {heads, head_dim}), eps);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  const double eps = config.real("layer_norm_eps");
  c.make_norm = layer_norms_without_bias(eps);
  c.logit_scale = config.real("logit_scale");
  c.rope.interleaved = true;
  const bool norms = config.flag("use_qk_norm", false);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = c.attention(s / "self_attn", i);
    if (norms) {
      attention.query_norm = head_norm(s / "self_attn" / "q_norm", c.heads.heads, c.heads.head_dim, eps);
      attention.key_norm = head_norm(s / "self_attn" / "k_norm", c.heads.kv_heads, c.heads.head_dim, eps);
    }
    return c.parallel_block(s, std::move(attention), c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("command-r", "CohereForCausalLM");
  add_keys(layout, {{"attention.layer_norm_epsilon", "layer_norm_eps"}, {"logit_scale", "logit_scale"}});
  add_config(layout, whether_stored("use_qk_norm", "blk.0.attn_q_norm.weight"));
  return layout;
}

}  // namespace

void register_cohere(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "cohere",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
