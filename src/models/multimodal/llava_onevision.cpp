// LLaVA-OneVision, one view for each image, as its clients feed it: without the tiles of a single large
// image. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/llava_onevision/modeling_llava_onevision.py
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"

namespace onnxport::models {
namespace {

// Each image ends with the vector of a new line.
Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const Value features = llava_features(tasks, inputs, model);
  const std::int64_t width = *features.dim(2).constant();
  const Weight newline = model.scope().weight("image_newline", {width}).reshape({1, 1, width});
  Graph& graph = features.graph();
  const ModulePath at(graph, "image_newline");
  const Value last = op::expand(graph.weight(newline), {features.dim(0), 1, width});
  return op::concat({features, last}, 1);
}

}  // namespace

void register_llava_onevision(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks, {.model_type = "llava_onevision",
              .forward = image_text_forward(
                  tasks, encode,
                  {"image_token_index", "video_token_index", "vision_aspect_ratio", "image_grid_pinpoints"}),
              .key_names = multimodal_key_names({"multi_modal_projector", "image_newline"})});
}

}  // namespace onnxport::models
