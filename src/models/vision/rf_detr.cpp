// RF-DETR: boxes, and masks of instances. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/rf_detr/modeling_rf_detr.py
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "models/common/config_numbers.h"
#include "models/vision/common/detector.h"
#include "models/vision/common/detector_backbone.h"
#include "models/vision/common/feature_levels.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // of norms that are not configurable

struct Config {
  explicit Config(const PretrainedConfig& c)
      : d_model(c.integer("d_model")),
        num_queries(c.integer("num_queries")),
        groups(c.integer("group_detr")),
        num_labels(c.num_labels()),
        blocks(c.integer("c2f_num_blocks")),
        decoder_layers(c.integer("decoder_layers")),
        self_heads(c.integer("decoder_self_attention_heads")),
        cross_heads(c.integer("decoder_cross_attention_heads")),
        ffn_dim(c.integer("decoder_ffn_dim")),
        points(c.integer("decoder_n_points")),
        mask_width(c.integer("intermediate_size")),
        mask_downsample_ratio(c.integer("mask_downsample_ratio")),
        expansion(c.real("hidden_expansion")),
        eps(c.real("layer_norm_eps")),
        activation(c.string("activation_function")),
        decoder_activation(c.string("decoder_activation_function")),
        mask_activation(c.string("segmentation_head_activation_function")),
        attention_bias(c.flag("attention_bias")) {
    c.harmless({"disable_custom_kernels", "auxiliary_loss", "mask_point_sample_ratio"});  // training
    check_multiple(c, "d_model", d_model, "decoder_self_attention_heads", self_heads);
    check_multiple(c, "d_model", d_model, "decoder_cross_attention_heads", cross_heads);
    const std::int64_t levels = c.integer("num_feature_levels");
    if (levels != 1 || num_queries < 1 || groups < 1 || decoder_layers < 1 || blocks < 0 ||
        blocks > 1 << 16 || mask_downsample_ratio < 1 || d_model % 4 != 0 ||
        !is_positive_below(expansion, 1024)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format(
              "{}: num_feature_levels {}, num_queries {}, group_detr {}, decoder_layers {}, "
              "c2f_num_blocks {}, mask_downsample_ratio {}, d_model {}, hidden_expansion {}: expected 1, "
              "positive numbers, and a d_model that is a multiple of 4",
              c.origin(), levels, num_queries, groups, decoder_layers, blocks, mask_downsample_ratio, d_model,
              expansion));
    }
  }

  std::int64_t d_model, num_queries, groups, num_labels, blocks, decoder_layers, self_heads, cross_heads;
  std::int64_t ffn_dim, points, mask_width, mask_downsample_ratio;
  double expansion, eps;
  std::string activation, decoder_activation, mask_activation;
  bool attention_bias;
};

class RfDetrOnnxConfig : public FixedQueriesOnnxConfig {
 public:
  using FixedQueriesOnnxConfig::FixedQueriesOnnxConfig;
  AxesByName outputs() const override {
    AxesByName names = FixedQueriesOnnxConfig::outputs();
    if (task() == "image-segmentation")
      names.emplace_back("pred_masks", Axes{{0, "batch_size"}, {2, "mask_height"}, {3, "mask_width"}});
    return names;
  }
  NormalizedConfig normalized_config() const override {
    return FixedQueriesOnnxConfig::normalized_config().with_args(
        {{"image_size", "backbone_config.image_size"}});
  }
  std::int64_t image_step() const override {
    return patch() * std::clamp<std::int64_t>(config_of_backbone().integer("num_windows"), 1, 1024);
  }
  // There must be as many patches as queries.
  ImageSize smallest_image() const override {
    const std::int64_t queries = config().unaccounted().integer("num_queries");
    const std::int64_t step = image_step();
    std::int64_t side = step;
    while (side / patch() * (side / patch()) < queries && side < 4096) side += step;
    return {side, side};
  }

 private:
  PretrainedConfig config_of_backbone() const {
    return config().unaccounted().sub("backbone_config", "rf_detr_dinov2");
  }
  std::int64_t patch() const {
    const std::vector<std::int64_t> sizes = config_of_backbone().integers("patch_size");
    return sizes.empty() ? 1 : std::clamp<std::int64_t>(sizes.front(), 1, 4096);
  }
};

// Over the channels of each pixel. Keys: weight, bias.
Value channel_norm(const Scope& s, Value image, double eps) {
  const Value last = op::permute(image, {0, 2, 3, 1});
  const nn::LayerNorm norm(s, *image.dim(1).constant(), eps);
  return op::permute(norm(last), {0, 3, 1, 2});
}

// Keys: conv, bn.
Value conv(const Scope& s, const Config& c, Value x, std::int64_t out, std::int64_t kernel) {
  const nn::Conv2d bare(s / "conv", *x.dim(1).constant(), out, {kernel, kernel}, false,
                        {.padding = {kernel / 2, kernel / 2}});
  return nn::Activation(c.activation)(channel_norm(s / "bn", bare(x), c.eps));
}

// One map of all stages: [B, d_model, H, W]. Keys: 0.{cv1, m.{i}, cv2}, 1.
Value project(const Scope& s, const Config& c, const std::vector<Value>& stages) {
  const ModulePath at(stages.front(), s.path());
  const auto inner = static_cast<std::int64_t>(static_cast<double>(c.d_model) * c.expansion);
  const Scope mix = s / 0;
  std::vector<Value> all = {conv(mix / "cv1", c, op::concat(stages, 1), 2 * inner, 1)};
  Value x = op::slice(all.front(), 1, inner, 2 * inner);
  for (std::int64_t i = 0; i < c.blocks; ++i) {
    x = conv(mix / "m" / i / "cv1", c, x, inner, 3);
    x = conv(mix / "m" / i / "cv2", c, x, inner, 3);
    all.push_back(x);
  }
  return channel_norm(s / 1, conv(mix / "cv2", c, op::concat(all, 1), c.d_model, 1), 1e-6);
}

// Boxes [..., 4] moved by parts of their size, and scaled. All float32.
Value refined(Value boxes, Value change) {
  const Value size = op::slice(boxes, 2, 2, 4);
  const Value moved = op::mul(op::slice(change, 2, 0, 2), size);
  const Value centre = op::add(moved, op::slice(boxes, 2, 0, 2));
  const Value scaled = op::mul(op::exp(op::slice(change, 2, 2, 4)), size);
  return op::concat({centre, scaled}, 2);
}

Value changes(const Scope& s, const Config& c, Value x) {
  return op::cast(linear_stack(s, x, c.d_model, 4, 3), DType::f32);
}

// The boxes of the pixels with the best scores: float32 [B, Q, 4].
Value proposed(const Scope& s, const Config& c, const FeatureLevels& maps) {
  const PixelBoxes around = pixel_boxes(maps);
  const Value kept =
      op::where(around.valid, maps.tokens, op::scalar(maps.tokens.graph(), 0, maps.tokens.dtype()));
  const Value mixed = nn::Linear(s / "enc_output" / 0, c.d_model, c.d_model)(kept);
  const Value hidden = nn::LayerNorm(s / "enc_output_norm" / 0, c.d_model, kEps)(mixed);
  const Value scores =
      op::amax(nn::Linear(s / "enc_out_class_embed" / 0, c.d_model, c.num_labels)(hidden), 2);
  const Value hides = op::logical_not(op::squeeze(around.valid, 2));
  const Value seen =
      op::masked_fill(op::cast(scores, DType::f32), hides, -std::numeric_limits<double>::infinity());
  const Value best = op::unsqueeze(op::topk(seen, c.num_queries, 1).indices, 2);
  const Value zero = op::scalar(kept.graph(), 0, DType::f32);
  const Value boxes = op::where(around.valid, op::sigmoid(around.logits), zero);
  const Value all = refined(boxes, changes(s / "enc_out_bbox_embed" / 0, c, hidden));
  for (std::int64_t i = 1; i < c.groups; ++i) {  // for training
    for (const char* part : {"enc_output", "enc_output_norm", "enc_out_class_embed", "enc_out_bbox_embed"})
      (s / part).ignore(std::to_string(i));
  }
  return op::gather(all, 1, op::expand(best, {all.dim(0), c.num_queries, 4}));
}

// Keys: in_proj_weight, in_proj_bias, out_proj.
Value self_attention(const Scope& s, const Config& c, Value x, Value positions) {
  const ModulePath at(x, s.path());
  const Weight weight = s.weight("in_proj_weight", {3 * c.d_model, c.d_model});
  const Weight bias = c.attention_bias ? s.weight("in_proj_bias", {3 * c.d_model}) : Weight();
  const auto part = [&](std::int64_t i, Value from) {
    const std::int64_t begin = i * c.d_model, end = begin + c.d_model;
    return nn::Linear(s.path(), weight.slice(0, begin, end), bias ? bias.slice(0, begin, end) : bias)(from);
  };
  const Value placed = op::add(x, positions);
  const Value query = part(0, placed), key = part(1, placed), value = part(2, x);
  const Value out =
      op::attention({.query = query, .key = key, .value = value}, c.self_heads, c.self_heads).output;
  return nn::Linear(s / "out_proj", c.d_model, c.d_model, c.attention_bias)(out);
}

// The states of the queries behind each layer, with the last norm.
std::vector<Value> decode(const Scope& s, const Config& c, Value x, Value boxes, const FeatureLevels& maps) {
  const ModulePath at(x, s.path());
  const Value references = level_references(maps, boxes);
  const Value seen = op::select(references, 2, 0);
  const auto waves = [&](std::int64_t i) { return sines_of(op::select(seen, 2, i), c.d_model / 2); };
  const Value column = waves(0), row = waves(1), width = waves(2), height = waves(3);
  const Value sines = op::cast(op::concat({row, column, width, height}, 2), x.dtype());
  const Value positions = linear_stack(s / "ref_point_head", sines, c.d_model, c.d_model, 2);
  const nn::LayerNorm norm(s / "norm", c.d_model, kEps);
  std::vector<Value> states;
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    const Scope layer = s / "layers" / i;
    const ModulePath inside(x, layer.path());
    const auto normed = [&](const char* name, Value y) {
      return nn::LayerNorm(layer / name, c.d_model, kEps)(y);
    };
    x = normed("norm1", op::add(x, self_attention(layer / "self_attn", c, x, positions)));
    const nn::DeformableAttention look(layer / "cross_attn",
                                       {.width = c.d_model, .heads = c.cross_heads, .points = {c.points}});
    const Value found = look(op::add(x, positions), references, maps.tokens, maps.sizes, maps.seen);
    x = normed("norm2", op::add(x, found));
    const Value inner =
        nn::Activation(c.decoder_activation)(nn::Linear(layer / "linear1", c.d_model, c.ffn_dim)(x));
    x = normed("norm3", op::add(x, nn::Linear(layer / "linear2", c.ffn_dim, c.d_model)(inner)));
    states.push_back(norm(x));
  }
  return states;
}

// The mask of each query. Keys: blocks.{i}, query_features_block, query_features_proj, spatial_features_proj,
// bias.
Value masks(const Scope& s, const Config& c, Value image, Value query, Value pixel_values) {
  const ModulePath at(query, s.path());
  const std::int64_t ratio = c.mask_downsample_ratio, d = c.d_model;
  const Shape size = {pixel_values.dim(2).floor_div(ratio), pixel_values.dim(3).floor_div(ratio)};
  const nn::Activation activation(c.mask_activation);
  Value x = op::interpolate(image, size, "linear");
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    const Scope block = s / "blocks" / i;
    const nn::Conv2d around(block / "dwconv", d, d, {3, 3}, true, {.padding = {1, 1}, .groups = d});
    const Value last = op::permute(around(x), {0, 2, 3, 1});
    const Value normed = nn::LayerNorm(block / "norm", d, 1e-6)(last);
    const Value mixed = activation(nn::Linear(block / "pwconv1", d, d)(normed));
    x = op::add(op::permute(mixed, {0, 3, 1, 2}), x);
  }
  const Value pixels = op::flatten(nn::Conv2d(s / "spatial_features_proj", d, d, {1, 1})(x), 2, 3);
  const Scope block = s / "query_features_block";
  const Value normed = nn::LayerNorm(block / "norm_in", d, kEps)(query);
  const Value inner = activation(nn::Linear(block / "layers" / 0, d, c.mask_width)(normed));
  const Value asking = op::add(nn::Linear(block / "layers" / 2, c.mask_width, d)(inner), query);
  const Value products = op::matmul(nn::Linear(s / "query_features_proj", d, d)(asking), pixels);
  const Value made = op::reshape(products, {query.dim(0), query.dim(1), size[0], size[1]});
  return op::add(made, made.graph().weight(s.weight("bias", {1})));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope();
  const Scope encoder = root / "backbone" / 0, transformer = root / "transformer";
  const Value pixel_values = inputs["pixel_values"];
  const std::vector<Value> stages =
      registered_backbone(tasks, encoder / "encoder" / "encoder", config,
                          config.sub("backbone_config", "rf_detr_dinov2"), pixel_values);
  const Value image = project(encoder / "projector" / "stages" / 0, c, stages);
  const FeatureLevels maps = feature_level(image, inputs.get("pixel_mask"));

  Graph& graph = image.graph();
  const auto learned = [&](const char* name, std::int64_t width) {
    const Weight table = root.weight(name, {c.num_queries * c.groups, width});
    return op::unsqueeze(graph.weight(table.slice(0, 0, c.num_queries)), 0);
  };
  const Value change = op::cast(learned("refpoint_embed.weight", 4), DType::f32);
  const Value boxes = refined(proposed(transformer, c, maps), change);
  const Value target =
      op::expand(learned("query_feat.weight", c.d_model), {image.dim(0), c.num_queries, c.d_model});
  const std::vector<Value> states = decode(transformer / "decoder", c, target, boxes, maps);
  const Value logits = nn::Linear(root / "class_embed", c.d_model, c.num_labels)(states.back());
  const Value found = refined(boxes, changes(root / "bbox_embed", c, states.back()));
  NamedValues outputs = {{"logits", logits}, {"pred_boxes", op::cast(found, logits.dtype())}};
  if (component.task == "image-segmentation")
    outputs.emplace_back("pred_masks",
                         masks(root / "segmentation_head", c, image, states.back(), pixel_values));
  return outputs;
}

}  // namespace

void register_rf_detr(TasksManager& tasks) {
  tasks.register_model<RfDetrOnnxConfig>(
      {.model_type = "rf_detr",
       .tasks = {"object-detection", "image-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component& component) {
         return forward(tasks, inputs, model, component);
       }});
}

}  // namespace onnxport::models
