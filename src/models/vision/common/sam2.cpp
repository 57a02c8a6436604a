#include "models/vision/common/sam2.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/vision/common/sam.h"
#include "onnxport/dummy_inputs.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 16;  // of an image

// The points of each of the P prompts that `labels` [B, P, N] describes. input_points may be [B, 1, N, 2],
// for all prompts.
Value points_of_prompts(Value points, Value labels) {
  Graph& graph = points.graph();
  const Value last = op::sub(op::size(graph, points.dim(1)), 1.0);
  const Value own = op::minimum(op::arange(graph, labels.dim(1)), last);
  return op::permute(op::embedding(op::permute(points, {1, 0, 2, 3}), own), {1, 0, 2, 3});
}

// The prompt encoder: points, the corners of boxes, a padding point.
struct Prompts {
  const Scope& root;
  const Sam2Config& c;

  Value place(Value points) const {
    const Scope own = root / "prompt_encoder" / "shared_embedding";
    const Scope shared = root / "shared_image_embedding";
    return place_sam_points(own.has("positional_embedding") ? own : shared, c.width, c.image_size, points);
  }

  // [B, P, 2 if there are boxes, C]. There is a box for each of the P prompts, or none.
  Value corners(Value boxes, const Dim& prompts, Value kinds) const {
    const Dim& batch = boxes.dim(0);
    const Dim& count = boxes.dim(1);
    const Value padded = op::pad(boxes, {0, 0, 0}, {0, prompts, 0});
    const Value points = op::reshape(op::slice(padded, 1, 0, prompts), {batch, prompts, 2, 2});
    const Value placed = place(points);
    const Value embedded = op::add(placed, op::slice(kinds, 0, 2, 4));
    return op::slice(embedded, 2, 0, count.min(1) * 2);
  }

  Value operator()(Value points, Value labels, Value boxes) const {
    const Scope s = root / "prompt_encoder";
    const ModulePath at(points, s.path());
    Graph& graph = points.graph();
    const Dim& prompts = labels.dim(1);
    const Value kinds = graph.weight(s.weight("point_embed.weight", {c.kinds_of_points, c.width}));
    const Value not_a_point = graph.weight((s / "not_a_point_embed").weight("weight", {1, c.width}));
    const Value placed = place(points_of_prompts(points, labels));
    const Value kind = op::embedding(kinds, op::maximum(labels, 0.0));
    const Value zero = op::scalar(graph, 0, points.dtype());
    const Value known = op::where(op::lt(op::unsqueeze(labels, 3), 0.0), zero, kind);
    const Value embedded = hide_sam_fillers(op::add(placed, known), labels, not_a_point);
    const Value last = op::expand(not_a_point, {points.dim(0), prompts, 1, c.width});
    return op::concat({embedded, corners(boxes, prompts, kinds), last}, 2);
  }
};

// image_embeddings.{i}: the decoder's share of the features, computed once for an image.
std::vector<Value> image_embeddings(const Scope& root, const Sam2Config& c, const PretrainedConfig& config,
                                    std::vector<Value> features) {
  const Scope s = root / "mask_decoder";
  const std::int64_t width = c.width;
  if (features.size() < kSam2Levels) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: vision_config gives {} levels of features, "
                                                         "expected {}",
                                                         config.origin(), features.size(), kSam2Levels));
  }
  features[0] = nn::Conv2d(s / "conv_s0", width, width / 8, {1, 1})(features[0]);
  features[1] = nn::Conv2d(s / "conv_s1", width, width / 4, {1, 1})(features[1]);
  // Of all levels, also where the decoder does not take the last one.
  const Weight no_memory = root.weight("no_memory_embedding", {1, 1, width}).reshape({1, width, 1, 1});
  features.back() = op::add(features.back(), features.back().graph().weight(no_memory));
  features.resize(kSam2Levels);
  for (std::size_t i = 0; i < kSam2Levels; ++i) {
    if (features[i].shape() == c.features(i, features[i].dim(0))) continue;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: features {} of the vision encoder are {}, but the decoder takes {}", config.origin(),
                    i, to_string(features[i].shape()), to_string(c.features(i, features[i].dim(0)))));
  }
  return features;
}

std::string level_name(std::size_t i) { return fmt::format("image_embeddings.{}", i); }

NamedValues decode(const Scope& root, const Sam2Config& c, const std::vector<Value>& levels, Value prompts) {
  const Value image = without_mask(root / "prompt_encoder", levels[2]);
  const Value positions =
      image.graph().weight(sam_image_positions(root / "shared_image_embedding", c.width, c.grid));
  const Scope s = root / "mask_decoder";
  const SamMaskDecoder decoder(s, c.decoder, image, positions, prompts.dim(1));
  const std::int64_t masks = c.decoder.masks;
  const auto x =
      decoder.transform({{"obj_score_token", 1}, {"iou_token", 1}, {"mask_tokens", masks + 1}}, prompts);
  const Value upscaled = decoder.upscale(x.pixels, {.twice = levels[1], .four_times = levels[0]});
  const Value pred_masks = decoder.masks(op::slice(x.tokens, 2, 3, 3 + masks), upscaled);
  const Value iou = op::sigmoid(decoder.iou(op::select(x.tokens, 2, 1)));
  const Value token = op::select(x.tokens, 2, 0);
  return {
      {"iou_scores", iou},
      {"pred_masks", pred_masks},
      {"object_score_logits", sam_feed_forward(s / "pred_obj_score_head", c.width, c.width, 1, 3, token)}};
}

NamedValues forward(const Sam2Variant& variant, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const Sam2Config c(model.config());
  const std::string prefix = variant.base_model;
  const Scope root = prefix.empty() ? model.scope() : model.scope().base_model(prefix);
  std::vector<Value> levels;
  if (component.part == kMaskDecoder) {
    for (std::size_t i = 0; i < kSam2Levels; ++i) levels.push_back(inputs[level_name(i)]);
  } else {
    const PretrainedConfig vision = model.config().sub("vision_config", variant.vision_type);
    // The class reshapes features to these sizes, which they have.
    vision.harmless({"backbone_feature_sizes"});
    levels = image_embeddings(root, c, vision,
                              variant.encode(model.scope(), root, vision, inputs["pixel_values"]));
  }
  if (component.part == kVisionEncoder) {
    NamedValues results;
    for (std::size_t i = 0; i < kSam2Levels; ++i) results.emplace_back(level_name(i), levels[i]);
    return results;
  }
  const Value prompts =
      Prompts{root, c}(inputs["input_points"], inputs["input_labels"], inputs["input_boxes"]);
  return decode(root, c, levels, prompts);
}

}  // namespace

Sam2Config::Sam2Config(const PretrainedConfig& c)
    : decoder(sam2_decoder_config(c.sub("mask_decoder_config"))) {
  const PretrainedConfig prompt = c.sub("prompt_encoder_config");
  // Masks as inputs; the size of random numbers.
  prompt.harmless({"mask_input_channels", "hidden_act", "layer_norm_eps", "scale"});
  width = prompt.integer("hidden_size");
  image_size = prompt.integer("image_size");
  kinds_of_points = prompt.integer("num_point_embeddings");
  const std::int64_t patch = prompt.integer("patch_size");
  const bool fits = image_size > 0 && image_size <= kLargest && patch > 0 && patch <= image_size;
  if (!fits || width != decoder.hidden_size || width % 8 != 0 || kinds_of_points < 4) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format(
            "{}: prompt_encoder_config has image_size {}, patch_size {}, hidden_size {} and "
            "num_point_embeddings {}: expected a patch in an image of at most {} pixels, the "
            "hidden_size of mask_decoder_config ({}), a multiple of 8, and at least 4 kinds of points",
            c.origin(), image_size, patch, width, kinds_of_points, kLargest, decoder.hidden_size));
  }
  grid = image_size / patch;
}

Shape Sam2Config::features(std::size_t level, const Dim& batch) const {
  const std::int64_t shares[] = {8, 4, 1}, scales[] = {4, 2, 1};
  return {batch, width / shares[level], grid * scales[level], grid * scales[level]};
}

AxesByName Sam2OnnxConfig::outputs() const {
  AxesByName names;
  if (is_encoder()) {
    for (std::size_t i = 0; i < kSam2Levels; ++i) names.emplace_back(level_name(i), kPerImage);
    return names;
  }
  const Axes axes = {{0, "batch_size"}, {1, "num_boxes_or_points"}};
  return {{"iou_scores", axes}, {"pred_masks", axes}, {"object_score_logits", axes}};
}

Dim Sam2OnnxConfig::axis_length(std::string_view tensor, const std::string& symbol) const {
  if (symbol == "num_boxes_or_points") return Dim::symbol("label_batch_size");
  return SamPartsOnnxConfig::axis_length(tensor, symbol);
}

AxesByName Sam2OnnxConfig::prompts() const {
  AxesByName names = {
      {"input_points", {{0, "batch_size"}, {1, "point_batch_size"}, {2, "nb_points_per_image"}}},
      {"input_labels", {{0, "batch_size"}, {1, "label_batch_size"}, {2, "nb_points_per_image"}}},
      {"input_boxes", {{0, "batch_size"}, {1, "nb_boxes_per_image"}}}};
  for (std::size_t i = 0; is_decoder() && i < kSam2Levels; ++i) names.emplace_back(level_name(i), kPerImage);
  return names;
}

NormalizedConfig Sam2OnnxConfig::normalized_config() const {
  return NormalizedVisionConfig(config()).with_args(
      {{"image_size", "prompt_encoder_config.image_size"},
       {"num_channels", "vision_config.backbone_config.num_channels"}});
}

DummyInputGenerators Sam2OnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyVisionInputGenerator>(),
          std::make_shared<const DummySam2InputGenerator>(Sam2Config(config().unaccounted()))};
}

bool DummySam2InputGenerator::supports_input(std::string_view name) const {
  return name.starts_with("input_") || name.starts_with("image_embeddings.");
}

TensorType DummySam2InputGenerator::type(std::string_view name, const DummyContext& context,
                                         const DummyShapes& shapes) const {
  const Dim batch = shapes.batch_size, prompts = shapes.point_batch_size, points = shapes.nb_points_per_image;
  if (name == "input_labels") return {context.int_dtype, {batch, prompts, points}};
  if (name == "input_points") return {context.float_dtype, {batch, prompts, points, 2}};
  if (name == "input_boxes") return {context.float_dtype, {batch, points == Dim(1) ? Dim(0) : prompts, 4}};
  return {context.float_dtype, c_.features(static_cast<std::size_t>(name.back() - '0'), batch)};
}

Tensor DummySam2InputGenerator::generate(std::string_view name, const DummyContext& context,
                                         const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  if (name.starts_with("image_")) return random_floats(seed, name, type);
  return name == "input_labels" ? labels(type, seed) : pixels(type, seed, name, c_.image_size);
}

ModelDefinition sam2_definition(const char* model_type, Sam2Variant variant) {
  ModelDefinition definition;
  definition.model_type = model_type;
  definition.tasks = {"feature-extraction"};
  const std::string prefix = variant.base_model;
  // Masks as prompts, and the memory of a video's other images.
  for (const char* key : {"prompt_encoder.mask_embed.*", "prompt_encoder.shared_embedding.*", "memory_*",
                          "mask_downsample.*", "object_pointer_proj.*", "no_memory_positional_encoding",
                          "no_object_pointer", "temporal_positional_encoding_projection_layer.*",
                          "occlusion_spatial_embedding_parameter", "spatial_perceiver.*"}) {
    definition.ignorable_keys.emplace_back(key);
    if (!prefix.empty()) definition.ignorable_keys.push_back(prefix + "." + key);
  }
  definition.forward = [variant = std::move(variant)](const Inputs& inputs, const Model& model,
                                                      const Component& component) {
    return forward(variant, inputs, model, component);
  };
  return definition;
}

}  // namespace onnxport::models
