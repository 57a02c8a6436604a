// Phi-1, Phi-1.5 and Phi-2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/phi/modeling_phi.py
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
  c.make_norm = layer_norms(config.real("layer_norm_eps"));
  c.last_norm = "final_layernorm";
  c.head_bias = "bias";
  c.attention_bias = true;
  const bool norms = config.flag("qk_layernorm");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    nn::CausalAttentionParts attention =
        c.attention(self, i, {}, nn::QkvProjection::separate(self, c.heads, true), "dense");
    if (norms) c.norm_heads(attention, self / "q_layernorm", self / "k_layernorm");
    return c.parallel_block(s, std::move(attention), c.plain_mlp(s / "mlp", true, "fc1", "fc2"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("phi2", "PhiForCausalLM");
  add_keys(layout, {{"attention.layer_norm_epsilon", "layer_norm_eps"}});
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"output_norm", "model.final_layernorm"},
            {"blk.{}.attn_output", "model.layers.{}.self_attn.dense"},
            {"blk.{}.ffn_up", "model.layers.{}.mlp.fc1"},
            {"blk.{}.ffn_down", "model.layers.{}.mlp.fc2"}};
  });
  add_config(layout, partial_rotary);
  return layout;
}

}  // namespace

void register_phi(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "phi",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq"},
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
