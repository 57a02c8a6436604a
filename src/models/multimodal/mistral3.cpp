// Mistral 3: Pixtral's patches, normed, merged in squares and projected, in front of a Mistral. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mistral3/modeling_mistral3.py
#include "models/multimodal/common/features/projector.h"
#include "models/multimodal/common/patches/merged_patches.h"

namespace onnxport::models {
namespace {

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, c.sub("vision_config"));
  const Value patches = layers_of(c, "vision_feature_layer", tower);
  return project_merged_patches(
      model.scope() / "multi_modal_projector", c, patches, inputs["pixel_values"],
      {.activation = c.string("projector_hidden_act"), .bias = c.flag("multimodal_projector_bias", false)});
}

}  // namespace

void register_mistral3(TasksManager& tasks) {
  register_multimodal_decoder<MergedPatchesOnnxConfig>(
      tasks, {.model_type = "mistral3",
              .forward = image_text_forward(tasks, encode, {"image_token_index"}),
              .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
