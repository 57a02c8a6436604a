// Granite with sliding windows and a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/granitemoe_swa/modeling_granitemoe_swa.py
#include "models/common/definition.h"
#include "models/decoders/common/granite.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c = granite_config(config);
  const LayerAttention attention = granite_swa_attention(c, config);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return granite_block(c, config, s, attention(s / "self_attn", i), granite_moe_mlp(s, config, c));
  });
}

}  // namespace

void register_granitemoe_swa(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"block_sparse_moe.router.layer.", "block_sparse_moe.router."}};
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>({.model_type = "granitemoe_swa",
                                                              .tasks = nn::text_decoder_tasks({}),
                                                              .forward = forward,
                                                              .key_names = names});
}

}  // namespace onnxport::models
