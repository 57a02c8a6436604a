// Segment Anything: an image encoder with windows, points as prompts, and a mask decoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sam/modeling_sam.py
#include "models/vision/common/sam.h"

#include "models/vision/common/sam_dummy_inputs.h"
#include "models/vision/common/sam_mask_decoder.h"
#include "models/vision/common/sam_onnx_config.h"

namespace onnxport::models {
namespace {

struct Config {
  SamVisionConfig vision;
  SamDecoderConfig decoder;
  SamPromptConfig prompts;

  explicit Config(const PretrainedConfig& c)
      : vision(c.sub("vision_config", "sam_vision_model")),
        decoder(sam_decoder_config(c.sub("mask_decoder_config"))),
        prompts(c.sub("prompt_encoder_config"), vision, decoder.hidden_size) {}
};

class SamOnnxConfig : public SamPartsOnnxConfig<SamOnnxConfig> {
 public:
  using SamPartsOnnxConfig::SamPartsOnnxConfig;
  AxesByName outputs() const override {
    if (is_encoder()) return {{"image_embeddings", kPerImage}, {"image_positional_embeddings", kPerImage}};
    const Axes points = {{0, "batch_size"}, {1, "point_batch_size"}};
    return {{"iou_scores", points}, {"pred_masks", points}};
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedVisionConfig(config().unaccounted().sub("vision_config", "sam_vision_model"));
  }
  DummyInputGenerators dummy_input_generators() const override {
    return {std::make_shared<const DummyVisionInputGenerator>(),
            std::make_shared<const DummySamInputGenerator>(Config(config().unaccounted()).vision)};
  }

 protected:
  AxesByName prompts() const override { return sam_prompts(is_decoder()); }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  Value image, positions;
  if (component.part == kMaskDecoder) {
    image = inputs["image_embeddings"];
    positions = inputs["image_positional_embeddings"];
  } else {
    image = encode_sam_image(root / "vision_encoder", c.vision, inputs["pixel_values"]).embeddings;
    positions = image.graph().weight(
        sam_image_positions(root / "shared_image_embedding", c.prompts.width, c.vision.grid()));
  }
  if (component.part == kVisionEncoder)
    return {{"image_embeddings", image},
            {"image_positional_embeddings", op::expand(positions, image.shape())}};

  const Value prompts = embed_sam_points(root, c.prompts, inputs["input_points"], inputs["input_labels"]);
  const Value placed = without_mask(root / "prompt_encoder", image);
  const SamMaskDecoder decoder(root / "mask_decoder", c.decoder, placed, positions, prompts.dim(1));
  const auto x = decoder.transform({{"iou_token", 1}, {"mask_tokens", c.decoder.masks + 1}}, prompts);
  const Value mask_tokens = op::slice(x.tokens, 2, 2, 2 + c.decoder.masks);
  const Value masks = decoder.masks(mask_tokens, decoder.upscale(x.pixels));
  return {{"iou_scores", decoder.iou(op::select(x.tokens, 2, 0))}, {"pred_masks", masks}};
}

}  // namespace

void register_sam(TasksManager& tasks) {
  // The exported model does not take masks or boxes as prompts. The last key is a copy of
  // shared_image_embedding.
  tasks.register_model<SamOnnxConfig>(
      {.model_type = "sam",
       .tasks = {"feature-extraction"},
       .forward = forward,
       .ignorable_keys = {"prompt_encoder.mask_embed.*", "prompt_encoder.point_embed.2.weight",
                          "prompt_encoder.point_embed.3.weight",
                          "prompt_encoder.shared_embedding.positional_embedding"}});
}

}  // namespace onnxport::models
