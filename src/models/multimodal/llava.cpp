// LLaVA: patches of a vision tower, projected, in front of any language model. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/llava/modeling_llava.py
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"

namespace onnxport::models {
Value llava_features(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, c.sub("vision_config"));
  const Value features = chosen_features(c, tower);
  const TwoLayerProjector project(model.scope() / "multi_modal_projector",
                                  {.in = *features.dim(2).constant(),
                                   .out = text_width(c),
                                   .activation = c.string("projector_hidden_act"),
                                   .bias = c.flag("multimodal_projector_bias", true)});
  return project(features);
}

void register_llava(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks, {.model_type = "llava",
              .forward = image_text_forward(tasks, llava_features, {"image_token_index", "image_seq_length"}),
              .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
