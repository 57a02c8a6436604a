// DeepSeek-VL: SigLIP's patches, projected, in front of a Llama. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deepseek_vl/modeling_deepseek_vl.py
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"

namespace onnxport::models {
namespace {

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const EncoderStates tower =
      encode_with_tower(tasks, inputs, model, c.sub("vision_config"), "vision_config", "vision_model");
  const TwoLayerProjector project(
      model.scope() / "aligner",
      {.in = *tower.hidden.dim(2).constant(), .out = text_width(c), .first = "linear1", .second = "linear2"});
  return project(tower.hidden);
}

}  // namespace

void register_deepseek_vl(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks, {.model_type = "deepseek_vl",
              .forward = image_text_forward(tasks, encode, {"image_token_id"}),
              .key_names = multimodal_key_names({"vision_model", "aligner"})});
}

}  // namespace onnxport::models
