// Phi-3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/phi3/modeling_phi3.py
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

nn::QkvProjection fused_projection(const Scope& s, const nn::HeadSizes& z) {
  const nn::Linear fused(s / "qkv_proj", z.hidden_size, (z.heads + 2 * z.kv_heads) * z.head_dim, false);
  return nn::QkvProjection::fused(fused, z, nn::FusedLayout::stacked);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c(model.config());
  c.attention_bias = false;  // no key of this class, though files may have it
  const nn::Visibility visible{.window = model.config().maybe_integer("sliding_window")};
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope attention = s / "self_attn";
    return c.block(s, c.attention(attention, i, visible, fused_projection(attention, c.heads)),
                   c.mlp(s / "mlp"));
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("phi3", "Phi3ForCausalLM");
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    return {{"blk.{}.ffn_up", "model.layers.{}.mlp.gate_up_proj"}};
  });
  add_config(layout, longrope);
  add_config(layout, partial_rotary);
  add_config(layout, stated_window);
  return layout;
}

}  // namespace

void register_phi3(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "phi3",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
