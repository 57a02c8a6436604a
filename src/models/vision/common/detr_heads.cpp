#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/vision/common/detr.h"
#include "onnxport/dtype.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"

namespace onnxport::models {
namespace {

// The attention of each query to each pixel, by head: [B * Q, heads, H', W']. The values of a query sum to
// one over all heads and pixels.
Value attention_maps(const Scope& s, const DetrConfig& c, const DetrResults& r) {
  const ModulePath at(r.hidden, s.path());
  const std::int64_t heads = c.encoder_heads;
  const Value query = nn::split_heads(nn::Linear(s / "q_linear", c.d_model, c.d_model)(r.hidden), heads);
  const Value key = nn::split_heads(nn::Linear(s / "k_linear", c.d_model, c.d_model)(r.memory.tokens), heads);
  const std::int64_t head_dim = c.d_model / heads;
  const Value scaled = op::mul(query, 1.0 / std::sqrt(static_cast<double>(head_dim)));
  Value scores = op::transpose(op::matmul(scaled, op::transpose(key, 2, 3)), 1, 2);
  if (r.memory.seen) {
    const Value hidden = op::unsqueeze(op::unsqueeze(op::logical_not(r.memory.seen), 1), 1);
    scores = op::masked_fill(scores, hidden, lowest(scores.dtype()));
  }
  const Value maps = op::softmax(op::flatten(scores, 2, 3), -1);
  return op::reshape(
      maps, {maps.dim(0) * maps.dim(1), heads, r.memory.projected.dim(2), r.memory.projected.dim(3)});
}

// Computes the mask of each query from its attention, with features of the image of increasing size.
struct MaskHead {
  Scope s;
  std::int64_t queries;

  Value normed(Value x, int i) const {
    const std::int64_t channels = *x.dim(1).constant();
    const std::int64_t groups = std::min<std::int64_t>(8, channels);
    return op::relu(nn::GroupNorm(s / fmt::format("gn{}", i), groups, channels)(x));
  }

  // Adds values per image, [B, C, H, W], to values per query, [B * Q, C, H, W].
  Value add_to_each(Value image, Value x) const {
    const Shape& shape = x.shape();
    const Value apart = op::reshape(x, {image.dim(0), queries, shape[1], shape[2], shape[3]});
    return op::reshape(op::add(apart, op::unsqueeze(image, 1)), shape);
  }

  // [B, Q, H, W]
  Value operator()(const DetrConfig& c, const DetrResults& r, Value maps) const {
    const ModulePath at(maps, s.path());
    std::int64_t width = c.d_model + c.encoder_heads;
    const op::ConvOptions around = {.padding = {1, 1}};
    // The first layer takes the image and the map of each query. The image's share is computed once.
    const Scope first = s / "lay1";
    const Weight weight = first.weight("weight", {width, width, 3, 3});
    const nn::Conv2d of_image(first.path(), weight.slice(1, 0, c.d_model), first.weight("bias", {width}),
                              around);
    const nn::Conv2d of_maps(first.path(), weight.slice(1, c.d_model, width), {}, around);
    const Value image = of_image(r.memory.projected);
    Value x = normed(add_to_each(image, of_maps(maps)), 1);
    const auto layer = [&](int i, std::int64_t out) {
      x = normed(nn::Conv2d(s / fmt::format("lay{}", i), width, out, {3, 3}, true, around)(x), i);
      width = out;
    };
    layer(2, c.d_model / 2);
    for (int i = 1; i <= 3; ++i) {
      const auto stage = static_cast<std::size_t>(3 - i);
      const std::int64_t channels = *r.features[stage].dim(1).constant();
      const nn::Conv2d adapter(s / fmt::format("adapter{}", i), channels, width, {1, 1});
      const Value larger = adapter(r.features[stage]);
      x = add_to_each(larger, op::interpolate(x, {larger.dim(2), larger.dim(3)}, "nearest"));
      layer(i + 2, c.d_model >> (i + 1));
    }
    x = nn::Conv2d(s / "out_lay", width, 1, {3, 3}, true, around)(x);
    return op::reshape(x, {r.hidden.dim(0), queries, x.dim(2), x.dim(3)});
  }
};

}  // namespace

NamedValues detr_outputs(const Scope& detection, const DetrConfig& c, const DetrResults& r,
                         const Component& component) {
  if (component.task == "feature-extraction") return {{"last_hidden_state", r.hidden}};
  // One extra label: no object.
  const nn::Linear classifier(detection / "class_labels_classifier", c.d_model, c.num_labels + 1);
  const Value logits = classifier(r.hidden);
  return {{"logits", logits}, {"pred_boxes", detr_boxes(detection / "bbox_predictor", c.d_model, r.hidden)}};
}

Value detr_boxes(const Scope& s, std::int64_t width, Value x) {
  return op::sigmoid(linear_stack(s, x, width, 4, 3));
}

Value detr_masks(const Scope& root, const PretrainedConfig& config, const DetrConfig& c,
                 const DetrResults& r) {
  if (r.features.size() < 3 || c.d_model % 16 != 0 || (c.d_model + c.encoder_heads) % 8 != 0) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: a mask head needs three stages of the backbone, a d_model that is a multiple of 16, "
                    "and a sum of d_model and encoder heads that is a multiple of 8; got {}, {} and {}",
                    config.origin(), r.features.size(), c.d_model, c.encoder_heads));
  }
  const Value maps = attention_maps(root / "bbox_attention", c, r);
  return MaskHead{root / "mask_head", c.num_queries}(c, r, maps);
}

}  // namespace onnxport::models
