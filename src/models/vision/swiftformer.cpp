// SwiftFormer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/swiftformer/modeling_swiftformer.py
#include <fmt/format.h>

#include "models/common/config_lists.h"
#include "models/common/config_numbers.h"
#include "models/common/definition.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/resnet.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t num_channels, num_labels;
  std::vector<std::int64_t> depths, embed_dims, down_patch_size, down_stride, down_pad;
  std::vector<bool> downsamples;
  double mlp_ratio, batch_norm_eps;
  std::string hidden_act;
  bool use_layer_scale;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        num_labels(c.num_labels()),
        depths(per_stage(c, "depths", stage_count(c, "depths"))),
        embed_dims(per_stage(c, "embed_dims", std::ssize(depths))),
        down_patch_size(per_stage(c, "down_patch_size", 1)),
        down_stride(per_stage(c, "down_stride", 1)),
        down_pad(per_stage(c, "down_pad", 1, 0)),
        downsamples(flags(c, "downsamples", {true, true, true, true})),
        mlp_ratio(c.real("mlp_ratio")),
        batch_norm_eps(c.real("batch_norm_eps")),
        hidden_act(c.string("hidden_act")),
        use_layer_scale(c.flag("use_layer_scale")) {
    c.harmless({"image_size", "layer_scale_init_value"});  // any size works; of training
    if (downsamples.size() + 1 < depths.size() || !is_positive_below(mlp_ratio, 1000)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: {} flags in downsamples for {} stages, and mlp_ratio {}, expected one "
                      "for each stage and a positive number",
                      c.origin(), downsamples.size(), depths.size(), mlp_ratio));
    }
  }

  nn::BatchNorm2d norm(const Scope& s, std::int64_t width) const { return {s, width, batch_norm_eps}; }
  std::int64_t inner(std::int64_t width) const {
    return static_cast<std::int64_t>(static_cast<double>(width) * mlp_ratio);
  }
};

Value scaled(Value x, const Scope& s, const char* name) {
  return op::mul(x, x.graph().weight(s.weight(name, {*x.dim(1).constant(), 1, 1})));
}

// A depthwise convolution, then two 1 x 1 convolutions, around which x is added.
Value convolve(Value x, const Scope& s, const Config& c, std::int64_t width, std::int64_t inner) {
  const ModulePath at(x, s.path());
  const nn::Conv2d depthwise(s / "depth_wise_conv", width, width, {3, 3}, true,
                             {.padding = {1, 1}, .groups = width});
  const nn::Conv2d wide(s / "point_wise_conv1", width, inner, {1, 1});
  const nn::Conv2d narrow(s / "point_wise_conv2", inner, width, {1, 1});
  const Value y = narrow(op::gelu(wide(c.norm(s / "norm", width)(depthwise(x)))));
  return op::add(x, scaled(y, s, "layer_scale"));
}

// Additive attention: all keys are multiplied by one global query. x [B, S, width]
Value additive_attention(Value x, const Scope& s, std::int64_t width) {
  const ModulePath at(x, s.path());
  const auto linear = [&](const char* name) { return nn::Linear(s / name, width, width); };
  const Value query = op::normalize(linear("to_query")(x), -1);
  const Value key = op::normalize(linear("to_key")(x), -1);
  // The original takes the softmax of the queries' weights over an axis of one element, which is 1.
  s.ignore("w_g");
  const Value global_query = op::sum(query, 1, true);
  const Value mixed = linear("proj")(op::mul(key, global_query));
  return linear("final")(op::add(mixed, query));
}

Value feed_forward(Value x, const Scope& s, const Config& c, std::int64_t width) {
  const ModulePath at(x, s.path());
  const nn::Conv2d fc1(s / "fc1", width, c.inner(width), {1, 1}),
      fc2(s / "fc2", c.inner(width), width, {1, 1});
  const Value normed = c.norm(s / "norm1", width)(x);
  return fc2(nn::Activation(c.hidden_act)(fc1(normed)));
}

// The last block of a stage.
Value attend(Value x, const Scope& s, const Config& c, std::int64_t width) {
  x = convolve(x, s / "local_representation", c, width, width);
  const ModulePath at(x, s.path());
  const Value tokens = additive_attention(nn::image_to_tokens(x), s / "attn", width);
  const Value attended = nn::tokens_to_image(tokens, x.dim(2), x.dim(3));
  x = op::add(x, c.use_layer_scale ? scaled(attended, s, "layer_scale_1") : attended);
  const Value fed = feed_forward(x, s / "linear", c, width);
  return op::add(x, c.use_layer_scale ? scaled(fed, s, "layer_scale_2") : fed);
}

Value embed(Value x, const Scope& s, const Config& c) {
  std::int64_t in = c.num_channels;
  for (const std::int64_t i : {0, 1}) {
    const std::int64_t out = i == 0 ? c.embed_dims[0] / 2 : c.embed_dims[0];
    const nn::NormedConv2d layer{
        nn::Conv2d(s / (3 * i), in, out, {3, 3}, true, {.stride = {2, 2}, .padding = {1, 1}}),
        c.norm(s / (3 * i + 1), out)};
    x = op::relu(layer(x));
    in = out;
  }
  return x;
}

// Between stages.
Value downsample(Value x, const Scope& s, const Config& c, std::int64_t in, std::int64_t out) {
  const nn::KernelSize patch = {c.down_patch_size.front(), c.down_patch_size.back()};
  const nn::Conv2d proj(s / "proj", in, out, patch, true,
                        {.stride = {c.down_stride.front(), c.down_stride.back()},
                         .padding = {c.down_pad.front(), c.down_pad.back()}});
  return c.norm(s / "norm", out)(proj(x));
}

// [B, num_channels, H, W] -> [B, C, H', W']
Value encode(const Scope& s, const Config& c, Value pixel_values) {
  Value x = embed(pixel_values, s / "patch_embed" / "patch_embedding", c);
  const Scope network = s / "encoder" / "network";
  std::int64_t part = 0;
  for (std::size_t i = 0; i < c.depths.size(); ++i) {
    const std::int64_t width = c.embed_dims[i];
    const Scope blocks = network / part++ / "blocks";
    for (std::int64_t j = 0; j + 1 < c.depths[i]; ++j) x = convolve(x, blocks / j, c, width, c.inner(width));
    x = attend(x, blocks / (c.depths[i] - 1), c, width);
    if (i + 1 == c.depths.size()) break;
    const std::int64_t next = c.embed_dims[i + 1];
    if (c.downsamples[i] || width != next) x = downsample(x, network / part++, c, width, next);
  }
  return x;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("swiftformer"), c, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const std::int64_t width = c.embed_dims[c.depths.size() - 1];
  const Value pooled = nn::global_average_pool(c.norm(root / "norm", width)(hidden));
  const Value by_class = nn::Linear(root / "head", width, c.num_labels)(pooled);
  const Value by_teacher = nn::Linear(root / "dist_head", width, c.num_labels)(pooled);
  return {{"logits", op::div(op::add(by_class, by_teacher), 2.0)}};
}

}  // namespace

void register_swiftformer(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "swiftformer",
                                          .tasks = {"feature-extraction", "image-classification"},
                                          .forward = forward});
}

}  // namespace onnxport::models
