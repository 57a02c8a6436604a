// The text tower of SigLIP. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip/modeling_siglip.py
#include "models/multimodal/common/clip.h"
#include "onnxport/nn/basic.h"

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

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const Scope s = model.scope().base_model("text_model");
  const TextTowerConfig c(config);
  const Value hidden = TextTower(s, c)(inputs["input_ids"], {});
  const ModulePath at(hidden, s.path());
  const Value last = op::squeeze(op::slice(hidden, 1, hidden.dim(1) - 1, hidden.dim(1)), 1);
  const std::int64_t width = config.maybe_integer("projection_size").value_or(c.hidden_size);
  return {hidden, nn::Linear(s / "head", c.hidden_size, width)(last)};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const EncoderStates text = encode(inputs, model, component);
  return {{"last_hidden_state", text.hidden}, {"pooler_output", text.pooled}};
}

}  // namespace

void register_siglip_text_model(TasksManager& tasks) {
  tasks.register_model<SiglipTextModelOnnxConfig>({.model_type = "siglip_text_model",
                                                   .tasks = {"feature-extraction"},
                                                   .forward = forward,
                                                   .ignorable_keys = {"*.embeddings.position_ids"},
                                                   .roles = {.text_model = EncoderRole{encode}}});
}

}  // namespace onnxport::models
