// LLaVA: the patches of a vision tower, projected, in front of any language model. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/llava/modeling_llava.py
#include "models/multimodal/common/multimodal_decoder.h"
#include "models/multimodal/common/projector.h"

namespace onnxport::models {
namespace {

NamedValues encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const PretrainedConfig vision = c.sub("vision_config"), text = c.sub("text_config");
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, vision);
  const Value features = chosen_features(c, tower);
  const TwoLayerProjector project(model.scope() / "multi_modal_projector",
                                  {.in = *features.dim(2).constant(),
                                   .out = text.unaccounted().integer("hidden_size"),
                                   .activation = c.string("projector_hidden_act"),
                                   .bias = c.flag("multimodal_projector_bias", true)});
  return {{"image_features", project(features)}};
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  c.harmless({"image_token_index", "image_token_id", "image_seq_length"});  // for those who feed the files
  return forward_multimodal_decoder(
      tasks, inputs, model, component, c.sub("text_config"),
      [&](const Inputs& in, const Model& whole, const Component&) { return encode(tasks, in, whole); });
}

}  // namespace

void register_llava(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks,
      {.model_type = "llava",
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .ignorable_keys = {"*.embeddings.position_ids", "*.rotary_emb.inv_freq"},
       .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
