// Command A Vision: squares of patches as one token, and a gated projection. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/cohere2_vision/modeling_cohere2_vision.py
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"

namespace onnxport::models {
namespace {

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, c.sub("vision_config"));
  const Value squares = merge_squares(tower.hidden, divisor(c, "downsample_factor"), c.origin());
  const GatedProjector project(model.scope() / "multi_modal_projector",
                               {.in = *squares.dim(2).constant(),
                                .inner = c.integer("alignment_intermediate_size"),
                                .out = text_width(c)});
  return project(squares);
}

}  // namespace

void register_cohere2_vision(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks, {.model_type = "cohere2_vision",
              .forward = image_text_forward(tasks, encode, {"image_token_id"}),
              .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
