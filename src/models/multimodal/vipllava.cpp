// VipLLaVA: patches of several layers of a vision tower, normed and projected. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vipllava/modeling_vipllava.py
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"

namespace onnxport::models {
namespace {

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const Scope s = model.scope() / "multi_modal_projector";
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, c.sub("vision_config"));
  const Value patches = without_class_token(layers_of(c, "vision_feature_layers", tower));
  const std::int64_t width = *patches.dim(2).constant();
  const nn::LayerNorm norm(s / "projector_layernorm", width, c.real("projector_layernorm_eps"));
  const TwoLayerProjector project(
      s, {.in = width, .out = text_width(c), .activation = c.string("projector_hidden_act")});
  return project(norm(patches));
}

}  // namespace

void register_vipllava(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks, {.model_type = "vipllava",
              .forward = image_text_forward(tasks, encode, {"image_token_index", "image_seq_length"}),
              .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
