// Depth Pro: depth and field of view. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/depth_pro/modeling_depth_pro.py
#include <fmt/format.h>

#include "models/vision/common/depth_pro.h"
#include "models/vision/common/dpt_neck.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

class DepthProOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  // The number of patches depends on it.
  bool takes_any_image_size() const override { return false; }
  AxesByName outputs() const override {
    AxesByName outputs = {{"predicted_depth", {{0, "batch_size"}}}};
    if (config().unaccounted().flag("use_fov_model"))
      outputs.push_back({"field_of_view", {{0, "batch_size"}}});
    return outputs;
  }
  NormalizedConfig normalized_config() const override {
    const DepthProConfig c(config().unaccounted());
    PretrainedConfig sized = config().unaccounted().with("image_size", std::to_string(c.image_size));
    return NormalizedVisionConfig(sized.with("num_channels", std::to_string(c.image.num_channels)));
  }
};

nn::Conv2d pointwise(const Scope& s, std::int64_t in, std::int64_t out, bool bias) {
  return {s, in, out, {1, 1}, bias};
}
nn::ConvTranspose2d twice(const Scope& s, std::int64_t in, std::int64_t out, bool bias) {
  return {s, in, out, {2, 2}, bias, {.stride = {2, 2}}};
}

// A projection if there is one, and steps that double the size each. Keys: layers.{i}.
Value upsample(const Scope& s, Value x, std::optional<std::int64_t> projected, std::int64_t out, int steps,
               bool bias) {
  const ModulePath at(x, s.path());
  std::int64_t i = 0, in = *x.dim(1).constant();
  if (projected) {
    x = pointwise(s / "layers" / i++, in, *projected, bias)(x);
    in = *projected;
  }
  for (int step = 0; step < steps; ++step) {
    x = twice(s / "layers" / i++, in, out, bias)(x);
    in = out;
  }
  return x;
}

// The features of the encoders -> as many images of fusion_hidden_size channels, but for the first two, which
// become one.
std::vector<Value> neck(const Scope& s, const DepthProConfig& c, std::vector<Value> features) {
  const Scope up = s / "feature_upsample";
  const std::size_t scales = c.scales.size();
  features[0] = upsample(up / "image_block", features[0], {}, c.scales[0].features, 1, true);
  for (std::size_t i = 0; i < scales; ++i) {
    const std::int64_t width = c.scales[i].features;
    const Scope block = up / "scaled_images" / static_cast<std::int64_t>(i);
    features[i + 1] = upsample(block, features[i + 1], width, width, 1, false);
  }
  for (std::size_t i = 0; i < c.hooks.size(); ++i) {
    const std::int64_t width = c.hooks[i].features;
    const Scope block = up / "intermediate" / static_cast<std::int64_t>(i);
    Value& feature = features[scales + i + 1];
    feature = upsample(block, feature, i == 0 ? c.fusion_hidden_size : width, width, 2 + static_cast<int>(i),
                       false);
  }
  const std::int64_t first = c.scales[0].features;
  const Value both = op::concat({features[1], features[0]}, 1);
  std::vector<Value> images = {pointwise(s / "fuse_image_with_low_res", 2 * first, first, true)(both)};
  images.insert(images.end(), features.begin() + 2, features.end());
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::int64_t in = *images[i].dim(1).constant();
    if (i + 1 == images.size() && in == c.fusion_hidden_size) break;
    const Scope at = s / "feature_projection" / "projections" / static_cast<std::int64_t>(i);
    images[i] = dpt_conv3x3(at, in, c.fusion_hidden_size, false)(images[i]);
  }
  return images;
}

// From the first image to the last, which keeps its size.
Value fuse(const Scope& s, const DepthProConfig& c, const std::vector<Value>& images) {
  (s / "intermediate" / 0).ignore("residual_layer1");  // the first step has nothing to add
  Value x;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const bool last = i + 1 == images.size();
    const Scope layer = last ? s / "final" : s / "intermediate" / static_cast<std::int64_t>(i);
    const ModulePath at(images[i], layer.path());
    const Value residual = x ? dpt_residual_unit(layer / "residual_layer1", c.unit, images[i]) : images[i];
    x = dpt_residual_unit(layer / "residual_layer2", c.unit, x ? op::add(x, residual) : residual);
    if (!last) x = twice(layer / "deconv", c.fusion_hidden_size, c.fusion_hidden_size, false)(x);
    x = pointwise(layer / "projection", c.fusion_hidden_size, c.fusion_hidden_size, true)(x);
  }
  return x;
}

Value depth(const Scope& s, const DepthProConfig& c, Value x) {
  const std::int64_t half = c.fusion_hidden_size / 2;
  constexpr std::int64_t width = 32;  // as it is in the original's code
  x = dpt_conv3x3(s / 0, c.fusion_hidden_size, half)(x);
  x = twice(s / 1, half, half, true)(x);
  x = op::relu(dpt_conv3x3(s / 2, half, width)(x));
  return op::squeeze(op::relu(pointwise(s / 4, width, 1, true)(x)), 1);
}

// The field of view, from an encoder of its own and the first image: [B].
Value field_of_view(const Scope& s, const DepthProConfig& c, Value pixel_values, Value image) {
  const std::int64_t width = c.fusion_hidden_size, half = width / 2;
  const Scope encoder = s / "fov_encoder";
  const Value tokens = depth_pro_tokens(encoder / "model", *c.fov, pixel_values).back();
  const nn::Linear narrow(encoder / "neck", c.fov->hidden_size, half);
  const Value own = depth_pro_image(narrow(tokens), c.base, c.base);
  const nn::Conv2d conv(s / "conv", width, half, {3, 3}, true, {.stride = {2, 2}, .padding = {1, 1}});
  Value x = op::add(own, op::relu(conv(image)));
  x = op::interpolate(x, {c.out_size(), c.out_size()}, "linear");
  const Scope layers = s / "head" / "layers";
  const auto narrowed = [&](std::int64_t steps) {
    return (width + (std::int64_t{1} << steps) - 1) >> steps;  // rounded up
  };
  for (std::int64_t i = 0; i < c.num_fov_head_layers; ++i) {
    const nn::Conv2d step(layers / (2 * i), narrowed(i + 1), narrowed(i + 2), {3, 3}, true,
                          {.stride = {2, 2}, .padding = {1, 1}});
    x = op::relu(step(x));
  }
  // The last kernel covers the image.
  const std::int64_t side = ((c.out_size() - 1) >> c.num_fov_head_layers) + 1;
  const nn::Conv2d last(layers / (2 * c.num_fov_head_layers), narrowed(c.num_fov_head_layers + 1), 1,
                        {side, side});
  return op::reshape(last(x), {pixel_values.dim(0)});
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const DepthProConfig c(model.config());
  const Scope root = model.scope(), s = root / "depth_pro";
  const Value pixel_values = inputs["pixel_values"];
  const std::vector<Value> images = neck(s / "neck", c, depth_pro_features(s / "encoder", c, pixel_values));
  const Value predicted = depth(root / "head" / "layers", c, fuse(root / "fusion_stage", c, images));
  if (!c.fov) return {{"predicted_depth", predicted}};
  return {{"predicted_depth", predicted},
          {"field_of_view", field_of_view(root / "fov_model", c, pixel_values, images[0])}};
}

}  // namespace

void register_depth_pro(TasksManager& tasks) {
  tasks.register_model<DepthProOnnxConfig>(
      {.model_type = "depth_pro", .tasks = {"depth-estimation"}, .forward = forward});
}

}  // namespace onnxport::models
