// InternVL: squares of patches as one token, normed and projected. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/internvl/modeling_internvl.py
#include <fmt/format.h>

#include <cmath>

#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

// downsample_ratio is 1 / side.
std::int64_t square_side(const PretrainedConfig& c) {
  const double ratio = c.real("downsample_ratio");
  const bool sensible = ratio > 1.0 / 64 && ratio <= 1;
  if (sensible) return std::lround(1 / ratio);
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: downsample_ratio is {}, expected a part of 1", c.origin(), ratio));
}

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  EncoderStates tower = encode_with_tower(tasks, inputs, model, c.sub("vision_config"));
  tower.layers.back() = tower.hidden;  // the last one is normed
  const Value squares = merge_squares(chosen_features(c, tower), square_side(c), c.origin());
  const Scope s = model.scope() / "multi_modal_projector";
  const std::int64_t width = *squares.dim(2).constant();
  const nn::LayerNorm norm(s / "layer_norm", width, 1e-5);
  const TwoLayerProjector project(
      s, {.in = width, .out = text_width(c), .activation = c.string("projector_hidden_act")});
  return project(norm(squares));
}

}  // namespace

void register_internvl(TasksManager& tasks) {
  register_multimodal_decoder<MultimodalDecoderOnnxConfig>(
      tasks, {.model_type = "internvl",
              .forward = image_text_forward(tasks, encode, {"image_token_id", "image_seq_length"}),
              .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
