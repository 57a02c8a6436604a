// The text tower of CLIP, with a projection if `architectures` asks for one. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clip/modeling_clip.py
#include "models/multimodal/common/towers/clip_encoders.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

class ClipTextModelOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override { return text_inputs({"input_ids"}); }
  AxesByName outputs() const override {
    const std::pair<std::string, Axes> hidden = {"last_hidden_state",
                                                 {{0, "batch_size"}, {1, "sequence_length"}}};
    if (is_projected(config())) return {{"text_embeds", {{0, "batch_size"}}}, hidden};
    return {hidden, {"pooler_output", {{0, "batch_size"}}}};
  }
};

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  return encode_clip_text(inputs, model, TextEnd::id_or_highest);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  const EncoderStates text = encode(inputs, model, component);
  if (!is_projected(c)) return {{"last_hidden_state", text.hidden}, {"pooler_output", text.pooled}};
  const nn::Linear project(root / "text_projection", c.integer("hidden_size"), c.integer("projection_dim"),
                           false);
  return {{"text_embeds", project(text.pooled)}, {"last_hidden_state", text.hidden}};
}

}  // namespace

void register_clip_text_model(TasksManager& tasks) {
  tasks.register_model<ClipTextModelOnnxConfig>({.model_type = "clip_text_model",
                                                 .tasks = {"feature-extraction"},
                                                 .forward = forward,
                                                 .ignorable_keys = {"*.embeddings.position_ids"},
                                                 .roles = {.text_model = EncoderRole{encode}}});
}

}  // namespace onnxport::models
