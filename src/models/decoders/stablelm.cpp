// StableLM. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/stablelm/modeling_stablelm.py
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

// A norm for each head.
std::function<Value(Value)> head_norms(const Scope& s, std::int64_t heads, std::int64_t head_dim,
                                       double eps) {
  std::vector<Weight> weights;
  for (std::int64_t i = 0; i < heads; ++i) {
    weights.push_back((s / "norms" / i).weight("weight", {head_dim}).reshape({1, head_dim}));
  }
  return nn::layer_norm_of_heads(s.path(), Weight::concat(weights, 0), eps);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  const double eps = config.real("layer_norm_eps");
  c.make_norm = layer_norms(eps);
  c.attention_bias = false;
  c.add_masks_in_version_4(config);
  const bool bias = config.flag("use_qkv_bias"), norms = config.flag("qk_layernorm");
  const bool parallel = config.flag("use_parallel_residual");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    nn::CausalAttentionParts attention =
        c.attention(self, i, {}, nn::QkvProjection::separate(self, c.heads, bias));
    if (norms) {
      attention.query_norm = head_norms(self / "q_layernorm", c.heads.heads, c.heads.head_dim, eps);
      attention.key_norm = head_norms(self / "k_layernorm", c.heads.kv_heads, c.heads.head_dim, eps);
    }
    if (parallel) return c.parallel_block(s, std::move(attention), c.mlp(s / "mlp"));
    return c.block(s, std::move(attention), c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("stablelm", "StableLmForCausalLM");
  add_keys(layout, {{"attention.layer_norm_epsilon", "layer_norm_eps"},
                    {"use_parallel_residual", "use_parallel_residual"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_layernorm.norms.{}"},
            {"blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_layernorm.norms.{}"}};
  });
  add_config(layout, partial_rotary);
  add_config(layout, whether_stored("use_qkv_bias", "blk.0.attn_q.bias"));
  add_config(layout, whether_stored("qk_layernorm", "blk.0.attn_q_norm.weight"));
  return layout;
}

}  // namespace

void register_stablelm(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "stablelm",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq"},
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
