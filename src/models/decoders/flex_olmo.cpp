// FlexOlmo. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/flex_olmo/modeling_flex_olmo.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/olmo.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  const nn::ExpertSizes experts{c.hidden_size, c.intermediate_size, config.integer("num_experts")};
  const nn::Routing routing = softmax_routing(config);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return c.post_normed_block(s, olmo2_attention(c, s / "self_attn", i),
                               nn::SparseMixture(s / "mlp", experts, routing, c.hidden_act));
  });
}

}  // namespace

void register_flex_olmo(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "flex_olmo",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
