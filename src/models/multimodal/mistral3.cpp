// Mistral 3: Pixtral's patches, normed, merged in squares and projected, in front of a Mistral. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mistral3/modeling_mistral3.py
#include "models/multimodal/common/multimodal_decoder.h"
#include "models/multimodal/common/projector.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

class Mistral3OnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  // Patches that fill no square are cut off.
  ImageSizes image_sizes() const override {
    ImageSizes sizes = MultimodalDecoderOnnxConfig::image_sizes();
    const std::int64_t side = config().unaccounted().integer("spatial_merge_size");
    sizes.smallest.height = sizes.smallest.width = sizes.smallest.height * side;
    sizes.step *= side;
    return sizes;
  }
};

// Squares of side * side patches [N, rows * columns, H] -> [N, squares, H]. The stored weight has the layout
// of a convolution: channels before places.
Value merge(const Scope& s, Value patches, const Dim& rows, const Dim& columns, std::int64_t side) {
  const ModulePath at(patches, s.path());
  const std::int64_t width = *patches.dim(2).constant();
  const Scope m = s / "merging_layer";
  const Weight weight = m.weight("weight", {width, width * side * side}).reshape({width, width, side, side});
  const nn::Conv2d conv(m.path(), weight, {}, {.stride = {side, side}});
  const Value channels = op::permute(patches, {0, 2, 1});
  const Value image = op::reshape(channels, {patches.dim(0), width, rows, columns});
  return nn::image_to_tokens(conv(image));
}

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const PretrainedConfig vision = c.sub("vision_config"), text = c.unaccounted().sub("text_config");
  const Scope s = model.scope() / "multi_modal_projector";
  const Value images = inputs["pixel_values"];
  const EncoderStates tower = encode_with_tower(tasks, inputs, model, vision);
  const Value patches = layers_of(c, "vision_feature_layer", tower);
  const std::int64_t width = *patches.dim(2).constant(), patch = divisor(vision, "patch_size");
  const nn::RmsNorm norm(s / "norm", width, {.eps = text.real("rms_norm_eps")});
  const Value merged = merge(s / "patch_merger", norm(patches), images.dim(2).floor_div(patch),
                             images.dim(3).floor_div(patch), divisor(c, "spatial_merge_size"));
  const TwoLayerProjector project(s, {.in = width,
                                      .out = text.integer("hidden_size"),
                                      .activation = c.string("projector_hidden_act"),
                                      .bias = c.flag("multimodal_projector_bias", false)});
  return project(merged);
}

}  // namespace

void register_mistral3(TasksManager& tasks) {
  register_multimodal_decoder<Mistral3OnnxConfig>(
      tasks, {.model_type = "mistral3",
              .forward = image_text_forward(tasks, encode, {"image_token_index"}),
              .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
