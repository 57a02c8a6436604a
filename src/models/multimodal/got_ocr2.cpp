// GOT-OCR 2: the image encoder of Segment Anything, two convolutions that shrink its grid, and a projection
// in front of Qwen2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/got_ocr2/modeling_got_ocr2.py
#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/vision/common/sam.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

// Its class has the defaults of Segment Anything's.
PretrainedConfig tower_config(const PretrainedConfig& c) {
  return c.sub("vision_config").as("sam_vision_model");
}

class GotOcr2OnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  ImageSizes image_sizes() const override { return {}; }

 protected:
  AxesByName encoder_inputs() const override { return {{"pixel_values", {{0, "num_images"}}}}; }
  AxesByName encoder_outputs() const override { return {{"image_features", {{0, "num_images"}}}}; }
  DummyInputGenerators encoder_dummies() const override {
    return {std::make_shared<const DummyVisionInputGenerator>()};
  }
  NormalizedConfig encoder_normalized() const override { return NormalizedVisionConfig(vision_config()); }
  PretrainedConfig text_config() const override { return config().unaccounted().sub("text_config", "qwen2"); }
  PretrainedConfig vision_config() const override { return tower_config(config().unaccounted()); }
};

Value encode(const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const PretrainedConfig vision = tower_config(c);
  vision.harmless({"num_pos_feats"});  // of prompts, which this tower does not take
  const SamVisionConfig tower(vision);
  const Scope s = model.scope() / "multi_modal_projector";
  Value x = encode_sam_image(model.scope() / "vision_tower", tower, inputs["pixel_values"]).embeddings;
  const std::int64_t between = 2 * tower.output_channels;
  const std::int64_t out = c.unaccounted().sub("text_config", "qwen2").integer("hidden_size");
  const ModulePath at(x, s.path());
  const op::ConvOptions halving = {.stride = {2, 2}, .padding = {1, 1}};
  x = nn::Conv2d(s / "conv_upsampler1", tower.output_channels, between, {3, 3}, false, halving)(x);
  x = nn::Conv2d(s / "conv_upsampler2", between, out, {3, 3}, false, halving)(x);
  const nn::Linear project(s / "multimodal_projector", out, out);
  return project(nn::image_to_tokens(x));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  model.config().harmless({"image_token_index", "image_token_id", "image_seq_length"});
  return forward_multimodal_decoder(
      tasks, inputs, model, component,
      [](const PretrainedConfig& whole) { return whole.sub("text_config", "qwen2"); },
      [&](const Inputs& in, const Component&) -> NamedValues {
        return {{"image_features", encode(in, model)}};
      });
}

}  // namespace

void register_got_ocr2(TasksManager& tasks) {
  register_multimodal_decoder<GotOcr2OnnxConfig>(
      tasks,
      {.model_type = "got_ocr2", .forward = bound(tasks, forward), .key_names = multimodal_key_names()});
}

}  // namespace onnxport::models
