// Pyramid Vision Transformer, version 2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/pvt_v2/modeling_pvt_v2.py
#include <fmt/format.h>

#include <algorithm>

#include "models/common/definition.h"
#include "models/vision/common/backbone.h"
#include "models/vision/common/reduced_attention.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pooling.h"
#include "onnxport/nn/resnet.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t num_channels, stages;
  std::vector<std::int64_t> depths, ratios, hidden_sizes, patch_sizes, strides, heads;
  std::vector<double> mlp_ratios;
  std::string hidden_act;
  double layer_norm_eps;
  bool qkv_bias, linear_attention;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        stages(c.integer("num_encoder_blocks")),
        depths(per_stage(c, "depths", stages, 0)),
        ratios(per_stage(c, "sr_ratios", stages)),
        hidden_sizes(per_stage(c, "hidden_sizes", stages)),
        patch_sizes(per_stage(c, "patch_sizes", stages)),
        strides(per_stage(c, "strides", stages)),
        heads(per_stage(c, "num_attention_heads", stages)),
        mlp_ratios(reals_per_stage(c, "mlp_ratios", stages)),
        hidden_act(c.string("hidden_act")),
        layer_norm_eps(c.real("layer_norm_eps")),
        qkv_bias(c.flag("qkv_bias")),
        linear_attention(c.flag("linear_attention")) {
    c.harmless({"image_size", "stage_names"});  // any size works
    check_stage_heads(c, "hidden_sizes", hidden_sizes, "num_attention_heads", heads);
    if (stages < 1 || stages > 16) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: num_encoder_blocks is {}, expected 1 to 16", c.origin(), stages));
    }
  }
};

class PvtV2OnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  // On smaller images, a stage has fewer tokens than one key merges.
  ImageSize smallest_image() const override {
    const Config c(config().unaccounted());
    std::int64_t size = 1;
    for (auto i = static_cast<std::size_t>(c.stages); i-- > 0;) {
      if (!c.linear_attention) size = std::max(size, c.ratios[i]);
      size = std::max<std::int64_t>((size - 1) * c.strides[i] + c.patch_sizes[i] % 2, 1);
    }
    return {size, size};
  }
};

// 7 x 7 means of all tokens, whatever the size of the grid.
Reduction pooled(const Scope& s, std::int64_t width, double eps) {
  constexpr std::int64_t kSide = 7;
  const nn::Conv2d reduce(s / "spatial_reduction", width, width, {1, 1});
  return [reduce, norm = nn::LayerNorm(s / "layer_norm", width, eps)](Value tokens, const Dim& rows,
                                                                      const Dim& columns) {
    const Value image = nn::tokens_to_image(tokens, rows, columns);
    const Value means = reduce(nn::adaptive_average_pool2d(image, kSide, kSide));
    return op::gelu(norm(nn::image_to_tokens(means)));
  };
}

Reduction reduction(const Scope& s, const Config& c, std::size_t stage) {
  const std::int64_t width = c.hidden_sizes[stage];
  if (c.linear_attention) return pooled(s, width, c.layer_norm_eps);
  return patch_reduction(s / "spatial_reduction", s / "layer_norm", width, c.ratios[stage], c.layer_norm_eps);
}

// Linear, depthwise convolution, activation, linear.
struct ConvFeedForward {
  std::string path;
  nn::Linear dense1, dense2;
  nn::Conv2d dwconv;
  nn::Activation activation;
  bool rectified;

  ConvFeedForward(const Scope& s, const Config& c, std::int64_t width, std::int64_t inner)
      : path(s.path()),
        dense1(s / "dense1", width, inner),
        dense2(s / "dense2", inner, width),
        dwconv(s / "dwconv" / "dwconv", inner, inner, {3, 3}, true, {.padding = {1, 1}, .groups = inner}),
        activation(c.hidden_act),
        rectified(c.linear_attention) {}

  Value operator()(Value x, const Dim& rows, const Dim& columns) const {
    const ModulePath at(x, path);
    Value wide = dense1(x);
    if (rectified) wide = op::relu(wide);
    const Value image = dwconv(nn::tokens_to_image(wide, rows, columns));
    return dense2(activation(nn::image_to_tokens(image)));
  }
};

// An image -> the image of a stage.
Value run_stage(Value image, const Scope& s, const Config& c, std::size_t i) {
  const Scope embedding = s / "patch_embedding";
  const std::int64_t width = c.hidden_sizes[i], patch = c.patch_sizes[i], stride = c.strides[i];
  const auto inner = static_cast<std::int64_t>(static_cast<double>(width) * c.mlp_ratios[i]);
  const nn::Conv2d proj(embedding / "proj", i == 0 ? c.num_channels : c.hidden_sizes[i - 1], width,
                        {patch, patch}, true,
                        {.stride = {stride, stride}, .padding = {patch / 2, patch / 2}});
  const Value projected = proj(image);
  const Dim &rows = projected.dim(2), &columns = projected.dim(3);
  const auto norm = [&](const Scope& at) { return nn::LayerNorm(at, width, c.layer_norm_eps); };
  Value x = norm(embedding / "layer_norm")(nn::image_to_tokens(projected));
  for (std::int64_t j = 0; j < c.depths[i]; ++j) {
    const Scope block = s / "blocks" / j;
    const ModulePath at(x, block.path());
    const ReducedAttention attention(block / "attention",
                                     {.width = width, .heads = c.heads[i], .qkv_bias = c.qkv_bias},
                                     reduction(block / "attention", c, i));
    const ConvFeedForward mlp(block / "mlp", c, width, inner);
    const Value attended = attention(norm(block / "layer_norm_1")(x), rows, columns);
    const Value middle = op::add(x, attended);
    const Value fed = mlp(norm(block / "layer_norm_2")(middle), rows, columns);
    x = op::add(middle, fed);
  }
  return nn::tokens_to_image(norm(s / "layer_norm")(x), rows, columns);
}

// The images of all stages, behind the input.
std::vector<Value> encode(const Scope& s, const Config& c, Value pixel_values) {
  std::vector<Value> states = {pixel_values};
  for (std::int64_t i = 0; i < c.stages; ++i)
    states.push_back(run_stage(states.back(), s / "encoder" / "layers" / i, c, static_cast<std::size_t>(i)));
  return states;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  model.config().harmless({"out_features", "out_indices"});  // of a backbone
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("pvt_v2"), c, inputs["pixel_values"]).back();
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const std::int64_t width = c.hidden_sizes[static_cast<std::size_t>(c.stages - 1)];
  const nn::Linear classifier(root / "classifier", width, model.config().num_labels());
  return {{"logits", classifier(nn::global_average_pool(hidden))}};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, c.stages, BackboneStem::none);
  return stage_features(encode(s, c, pixel_values), stages);
}

}  // namespace

void register_pvt_v2(TasksManager& tasks) {
  tasks.register_model<PvtV2OnnxConfig>({.model_type = "pvt_v2",
                                         .tasks = {"feature-extraction", "image-classification"},
                                         .forward = forward,
                                         .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
