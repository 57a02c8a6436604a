// Chinese CLIP: CLIP whose text tower is a BERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/chinese_clip/modeling_chinese_clip.py
#include "models/multimodal/common/towers/clip_encoders.h"
#include "models/text_encoders/common/bert.h"

namespace onnxport::models {
namespace {

// The vector of a text is that of its first token. A text model that is stored alone also has a pooler, which
// the whole model does not use.
EncoderStates encode_text(const Inputs& inputs, const Model& model, const Component&) {
  const Bert bert(model.scope().base_model("text_model"), TextEncoderConfig(model.config()));
  const Value hidden = bert(inputs);
  return {hidden, nn::first_token(hidden)};
}

}  // namespace

void register_chinese_clip(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "chinese_clip_text_model", .roles = {.text_model = EncoderRole{encode_text}}});
  register_clip_image_tower(tasks, "chinese_clip");
  tasks.register_model<ClipOnnxConfig>(
      {.model_type = "chinese_clip",
       .tasks = {"feature-extraction", "zero-shot-image-classification"},
       .forward = clip_forward(tasks),
       .ignorable_keys = {"*.embeddings.position_ids", "text_model.pooler.dense.*"}});
}

}  // namespace onnxport::models
