// Aya Vision: squares of patches as one token, normed, and a gated projection. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/aya_vision/modeling_aya_vision.py
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"

namespace onnxport::models {
namespace {

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, c.sub("vision_config"));
  const Value patches = chosen_features(c, tower);
  const Value squares = merge_squares(patches, divisor(c, "downsample_factor"), c.origin());
  const Scope s = model.scope() / "multi_modal_projector";
  const std::int64_t width = *squares.dim(2).constant();
  const std::int64_t out = text_width(c);
  const nn::LayerNorm norm(s / "layernorm", width, c.real("adapter_layer_norm_eps"));
  const GatedProjector project(
      s, {.in = width, .inner = c.integer("alignment_intermediate_size", out), .out = out});
  return project(norm(squares));
}

}  // namespace

void register_aya_vision(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks, {.model_type = "aya_vision",
              .forward = image_text_forward(tasks, encode, {"image_token_index"}),
              .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
