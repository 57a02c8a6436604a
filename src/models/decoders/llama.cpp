// Llama. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/llama/modeling_llama.py
#include "models/decoders/common/llama.h"
#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class LlamaOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
};

GgufLayout gguf() {
  GgufLayout layout = turning_gguf("LlamaForCausalLM");
  layout.matches = [](const GgufInfo& file) { return !has_gguf_experts(file) && !is_gguf_mistral(file); };
  return layout;
}

}  // namespace

NamedValues forward_llama(const Inputs& inputs, const Model& model, const Component& component) {
  const TextDecoderConfig c(model.config());
  const bool mlp_bias = model.config().flag("mlp_bias", false);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.block(s, c.attention(s / "self_attn", i), c.mlp(s / "mlp", mlp_bias));
  });
}

void register_llama(TasksManager& tasks) {
  tasks.register_model<LlamaOnnxConfig>({.model_type = "llama",
                                         .tasks = nn::text_decoder_tasks(),
                                         .forward = forward_llama,
                                         .ignorable_keys = {"*.rotary_emb.inv_freq"},
                                         .key_names = tied("model.embed_tokens", "lm_head"),
                                         .gguf = gguf()});
}

}  // namespace onnxport::models
