// FastVLM: the features of a convolutional tower of timm, projected, in front of any language model.
// Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/fast_vlm/modeling_fast_vlm.py
#include <fmt/format.h>

#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const std::string kept = c.string("vision_feature_select_strategy");
  if (const std::int64_t layer = c.integer("vision_feature_layer"); layer != -1 || kept != "full") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: vision_feature_layer is {} and vision_feature_select_strategy '{}', "
                                  "expected -1 and full",
                                  c.origin(), layer, kept));
  }
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, c.sub("vision_config"));
  const TwoLayerProjector project(model.scope() / "multi_modal_projector",
                                  {.in = *tower.hidden.dim(2).constant(),
                                   .out = text_width(c),
                                   .activation = c.string("projector_hidden_act"),
                                   .bias = c.flag("multimodal_projector_bias")});
  return project(tower.hidden);
}

}  // namespace

void register_fast_vlm(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks, {.model_type = "fast_vlm",
              .forward = image_text_forward(tasks, encode, {"image_token_index", "image_seq_length"}),
              .ignorable_keys = {"*num_batches_tracked"},
              .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
