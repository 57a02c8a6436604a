// SAM-HQ: Segment Anything with a token that corrects the masks, from features of an early layer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sam_hq/modeling_sam_hq.py
#include <fmt/format.h>

#include "models/vision/common/sam.h"
#include "models/vision/common/sam_dummy_inputs.h"
#include "models/vision/common/sam_onnx_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/channel_norm.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr const char* kVisionType = "sam_hq_vision_model";

class SamHQOnnxConfig : public SamPartsOnnxConfig<SamHQOnnxConfig> {
 public:
  using SamPartsOnnxConfig::SamPartsOnnxConfig;
  AxesByName outputs() const override {
    if (!is_encoder()) {
      const Axes points = {{0, "batch_size"}, {1, "point_batch_size"}};
      return {{"iou_scores", points}, {"pred_masks", points}};
    }
    AxesByName names = {{"image_embeddings", kPerImage}, {"image_positional_embeddings", kPerImage}};
    for (int i = 0; i < global_layers(); ++i)
      names.emplace_back(fmt::format("intermediate_embeddings.{}", i), kPerImage);
    return names;
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
  AxesByName prompts() const override {
    AxesByName names = sam_prompts(is_decoder());
    if (is_decoder() && global_layers() > 0)
      names.insert(names.begin() + 2, {"intermediate_embeddings.0", kPerImage});
    return names;
  }

 private:
  int global_layers() const {
    const SamVisionConfig vision(config().unaccounted().sub("vision_config", kVisionType));
    int count = 0;
    for (std::int64_t i = 0; i < vision.layers; ++i) count += vision.window(i) == 0 ? 1 : 0;
    return count;
  }
};

// A convolution that doubles the size twice, with a norm in between: {prefix}_conv1, {prefix}_norm,
// {prefix}_conv2.
Value enlarge(const Scope& s, const std::string& prefix, std::int64_t inner, std::int64_t out, Value image) {
  const op::ConvOptions twice = {.stride = {2, 2}};
  const std::int64_t in = *image.dim(1).constant();
  const nn::ConvTranspose2d first(s / (prefix + "_conv1"), in, inner, {2, 2}, true, twice);
  const nn::ConvTranspose2d second(s / (prefix + "_conv2"), inner, out, {2, 2}, true, twice);
  const nn::ChannelNorm norm(s / (prefix + "_norm"), inner, 1e-6);
  return second(op::gelu(norm(first(image))));
}

// Pixels of the features of the image, with those of an early layer [B, rows, columns, vit_dim] if there is
// one: [B, C / 8, 4 * rows, 4 * columns].
Value details(const Scope& s, std::int64_t width, Value image, Value early) {
  const ModulePath at(image, s.path());
  Value late = enlarge(s, "encoder", width / 4, width / 8, image);
  if (!early) return late;
  return op::add(late, enlarge(s, "compress_vit", width, width / 8, op::permute(early, {0, 3, 1, 2})));
}

// The correction of the masks: [B, points, 1, 4 * rows, 4 * columns]. `token` [B, points, C].
Value correction(const Scope& s, const SamMaskDecoder& decoder, std::int64_t width, Value token,
                 Value upscaled, Value details) {
  const ModulePath at(token, s.path());
  const std::int64_t outer = width / 4, inner = width / 8;
  const nn::Conv2d first(s / "mask_conv1", inner, outer, {3, 3}, true, {.padding = {1, 1}});
  const nn::Conv2d second(s / "mask_conv2", outer, inner, {3, 3}, true, {.padding = {1, 1}});
  const nn::ChannelNorm norm(s / "mask_norm", outer, 1e-6);
  const Value coarse = second(op::gelu(norm(first(decoder.to_images(upscaled)))));
  const Value pixels = op::add(coarse, details);
  const Value rows = sam_feed_forward(s / "hq_mask_mlp", width, width, inner, 3, token);
  const Value product = op::matmul(rows, op::flatten(pixels, 2, 3));
  return op::reshape(product, {token.dim(0), token.dim(1), 1, pixels.dim(2), pixels.dim(3)});
}

// The masks in the order of their scores, the best first.
NamedValues best_first(Value iou, Value masks, Value correction) {
  const std::int64_t count = *iou.dim(2).constant();
  const op::TopK best = op::topk(op::cast(iou, DType::f32), count, 2);
  const Shape& shape = masks.shape();
  const Value flat = op::flatten(masks, 3, 4);
  const Value order = op::expand(op::unsqueeze(best.indices, 3), flat.shape());
  const Value sorted = op::reshape(op::gather(flat, 2, order), shape);
  const Value scores = op::cast(best.values, iou.dtype());
  return {{"iou_scores", scores}, {"pred_masks", op::add(sorted, correction)}};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const SamConfig c(model.config(), kVisionType);
  const std::int64_t vit_dim = model.config().sub("mask_decoder_config").integer("vit_dim");
  if (vit_dim != c.vision.hidden_size) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: vit_dim of mask_decoder_config is {}, expected hidden_size of "
                                  "vision_config ({})",
                                  model.config().origin(), vit_dim, c.vision.hidden_size));
  }
  const Scope root = model.scope(), s = root / "mask_decoder";
  const SamFeatures features = sam_features(root, c, inputs, component);
  const SamImage& image = features.image;
  if (component.part == kVisionEncoder) {
    NamedValues results = sam_encoder_outputs(features);
    for (std::size_t i = 0; i < image.global.size(); ++i)
      results.emplace_back(fmt::format("intermediate_embeddings.{}", i), image.global[i]);
    return results;
  }
  const std::int64_t width = c.decoder.hidden_size, masks = c.decoder.masks;
  const Value early = image.global.empty() ? Value() : image.global.front();
  const Value fine = details(s, width, image.embeddings, early);
  const Value prompts = embed_sam_points(root, c.prompts, inputs["input_points"], inputs["input_labels"]);
  const Value placed = without_mask(root / "prompt_encoder", image.embeddings);
  const SamMaskDecoder decoder(s, c.decoder, placed, features.positions, prompts.dim(1));
  const auto x = decoder.transform({{"iou_token", 1}, {"mask_tokens", masks + 1}, {"hq_token", 1}}, prompts);
  // The original upscales the image as it came in, with rows and columns exchanged.
  const Value exchanged = op::reshape(op::transpose(placed, 2, 3), placed.shape());
  const Value upscaled = decoder.upscale(op::unsqueeze(nn::image_to_tokens(exchanged), 1));
  const Value plain = decoder.masks(op::slice(x.tokens, 2, 2, 2 + masks), upscaled);
  const Value token = op::select(x.tokens, 2, 2 + masks);
  const Value corrected = correction(s, decoder, width, token, upscaled, fine);
  return best_first(decoder.iou(op::select(x.tokens, 2, 0)), plain, corrected);
}

}  // namespace

void register_sam_hq(TasksManager& tasks) {
  tasks.register_model<SamHQOnnxConfig>({.model_type = "sam_hq",
                                         .tasks = {"feature-extraction"},
                                         .forward = forward,
                                         .ignorable_keys = sam_ignorable_keys()});
}

}  // namespace onnxport::models
