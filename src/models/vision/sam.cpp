// Segment Anything: an image encoder with windows, points as prompts, and a mask decoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sam/modeling_sam.py
#include "models/vision/common/sam.h"

#include "models/vision/common/sam_dummy_inputs.h"
#include "models/vision/common/sam_onnx_config.h"

namespace onnxport::models {
namespace {

constexpr const char* kVisionType = "sam_vision_model";

class SamOnnxConfig : public SamPartsOnnxConfig<SamOnnxConfig> {
 public:
  using SamPartsOnnxConfig::SamPartsOnnxConfig;
  AxesByName outputs() const override {
    if (is_encoder()) return {{"image_embeddings", kPerImage}, {"image_positional_embeddings", kPerImage}};
    const Axes points = {{0, "batch_size"}, {1, "point_batch_size"}};
    return {{"iou_scores", points}, {"pred_masks", points}};
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedVisionConfig(config().unaccounted().sub("vision_config", kVisionType));
  }
  DummyInputGenerators dummy_input_generators() const override {
    return {std::make_shared<const DummyVisionInputGenerator>(),
            std::make_shared<const DummySamInputGenerator>(
                SamConfig(config().unaccounted(), kVisionType).vision)};
  }

 protected:
  AxesByName prompts() const override { return sam_prompts(is_decoder()); }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const SamConfig c(model.config(), kVisionType);
  const Scope root = model.scope();
  const SamFeatures features = sam_features(root, c, inputs, component);
  if (component.part == kVisionEncoder) return sam_encoder_outputs(features);

  const Value prompts = embed_sam_points(root, c.prompts, inputs["input_points"], inputs["input_labels"]);
  const Value placed = without_mask(root / "prompt_encoder", features.image.embeddings);
  const SamMaskDecoder decoder(root / "mask_decoder", c.decoder, placed, features.positions, prompts.dim(1));
  const auto x = decoder.transform({{"iou_token", 1}, {"mask_tokens", c.decoder.masks + 1}}, prompts);
  const Value mask_tokens = op::slice(x.tokens, 2, 2, 2 + c.decoder.masks);
  const Value masks = decoder.masks(mask_tokens, decoder.upscale(x.pixels));
  return {{"iou_scores", decoder.iou(op::select(x.tokens, 2, 0))}, {"pred_masks", masks}};
}

}  // namespace

void register_sam(TasksManager& tasks) {
  tasks.register_model<SamOnnxConfig>({.model_type = "sam",
                                       .tasks = {"feature-extraction"},
                                       .forward = forward,
                                       .ignorable_keys = sam_ignorable_keys()});
}

}  // namespace onnxport::models
