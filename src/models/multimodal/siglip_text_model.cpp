// The text tower of SigLIP. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip/modeling_siglip.py
#include "models/multimodal/common/towers/siglip.h"

namespace onnxport::models {
namespace {

class SiglipTextModelOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override { return text_inputs({"input_ids"}); }
  AxesByName outputs() const override {
    return {{"last_hidden_state", {{0, "batch_size"}, {1, "sequence_length"}}},
            {"pooler_output", {{0, "batch_size"}}}};
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const EncoderStates text = encode_siglip_text(inputs, model, component);
  return {{"last_hidden_state", text.hidden}, {"pooler_output", text.pooled}};
}

}  // namespace

void register_siglip_text_model(TasksManager& tasks) {
  tasks.register_model<SiglipTextModelOnnxConfig>({.model_type = "siglip_text_model",
                                                   .tasks = {"feature-extraction"},
                                                   .forward = forward,
                                                   .ignorable_keys = {"*.embeddings.position_ids"},
                                                   .roles = {.text_model = EncoderRole{encode_siglip_text}}});
}

}  // namespace onnxport::models
