// Granite with a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/granitemoe/modeling_granitemoe.py
#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/granite.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class GraniteMoeOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c = granite_config(config);
  c.no_keys = op::NoKeys::uniform;
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return granite_block(c, config, s, i,
                         stacked_mixture(s / "block_sparse_moe", config, c.intermediate_size, c.hidden_act));
  });
}

}  // namespace

void register_granitemoe(TasksManager& tasks) {
  tasks.register_model<GraniteMoeOnnxConfig>({.model_type = "granitemoe",
                                              .tasks = nn::text_decoder_tasks({}),
                                              .forward = forward,
                                              .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
