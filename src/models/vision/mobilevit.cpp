// MobileViT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mobilevit/modeling_mobilevit.py
#include "models/vision/common/mobilevit.h"

#include "models/common/definition.h"
#include "models/vision/common/stages.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

struct Config : MobileViTConfig {
  std::int64_t heads;
  std::vector<std::int64_t> hidden_sizes, neck;
  double mlp_ratio;
  bool qkv_bias;

  explicit Config(const PretrainedConfig& c)
      : MobileViTConfig(c),
        heads(c.integer("num_attention_heads")),
        hidden_sizes(per_stage(c, "hidden_sizes", 3)),
        neck(per_stage(c, "neck_hidden_sizes", 7)),
        mlp_ratio(c.real("mlp_ratio")),
        qkv_bias(c.flag("qkv_bias")) {
    for (const std::int64_t width : hidden_sizes)
      check_multiple(c, "hidden_sizes", width, "num_attention_heads", heads);
  }

  nn::EncoderLayerParameters encoder_layer(std::int64_t width) const {
    nn::EncoderLayerParameters p;
    p.attention.hidden_size = width;
    p.attention.heads = heads;
    p.attention.query = "attention.query";
    p.attention.key = "attention.key";
    p.attention.value = "attention.value";
    p.attention.bias = qkv_bias ? nn::QkvBias::all : nn::QkvBias::none;
    p.intermediate_size = static_cast<std::int64_t>(static_cast<double>(width) * mlp_ratio);
    p.activation = hidden_act;
    p.eps = layer_norm_eps;
    p.attention_norm = "layernorm_before";
    p.output_norm = "layernorm_after";
    return p;
  }
};

// Applies `mix` to sequences of the pixels that have the same place in their patches of side x side pixels.
// mix: [B * side², patches, C] -> the same; image [B, C, H, W] -> the same.
Value mix_patches(Value image, std::int64_t side, const std::function<Value(Value)>& mix) {
  const Dim &batch = image.dim(0), &channels = image.dim(1), &height = image.dim(2), &width = image.dim(3);
  const Dim down = (height + (side - 1)).floor_div(side), across = (width + (side - 1)).floor_div(side);
  const bool resize = down * side != height || across * side != width;
  const Value whole = resize ? op::interpolate(image, {down * side, across * side}, "linear") : image;
  const Value cut = op::reshape(whole, {batch, channels, down, side, across, side});
  const Value by_place = op::permute(cut, {0, 3, 5, 2, 4, 1});
  const Value mixed = mix(op::reshape(by_place, {batch * (side * side), down * across, channels}));
  const Value apart = op::reshape(mixed, {batch, side, side, down, across, channels});
  const Value together = op::permute(apart, {0, 5, 3, 1, 4, 2});
  const Value joined = op::reshape(together, {batch, channels, down * side, across * side});
  return resize ? op::interpolate(joined, {height, width}, "linear") : joined;
}

// Stages 3 to 5: convolutions around a transformer.
Value run_stage(Value x, const Scope& s, const Config& c, int stage) {
  const auto i = static_cast<std::size_t>(stage);
  const std::int64_t out = c.neck[i], width = c.hidden_sizes[i - 3], kernel = c.conv_kernel_size;
  x = c.downsampling(s / "downsampling_layer", c.neck[i - 1], out, stage)(x);
  const ModulePath at(x, s.path());
  const Value local = c.layer(s / "conv_kxk", out, out, kernel)(x);
  const Value narrow = nn::Conv2d(s / "conv_1x1" / "convolution", out, width, {1, 1}, false)(local);
  constexpr std::int64_t kDepths[] = {2, 4, 3};
  const nn::PreNormEncoder transformer(s / "transformer" / "layer", kDepths[i - 3], c.encoder_layer(width));
  const nn::LayerNorm norm(s / "layernorm", width, c.layer_norm_eps);
  const Value mixed =
      mix_patches(narrow, c.patch_size, [&](Value tokens) { return norm(transformer(tokens)); });
  const Value projected = c.layer(s / "conv_projection", width, out, 1)(mixed);
  return c.layer(s / "fusion", 2 * out, out, kernel)(op::concat({x, projected}, 1));
}

// [B, num_channels, H, W] -> [B, C, H', W']
Value encode(const Scope& s, const Config& c, Value x) {
  x = c.layer(s / "conv_stem", c.num_channels, c.neck[0], 3, 2)(x);
  const Scope layers = s / "encoder" / "layer";
  x = c.residual(layers / 0 / "layer" / 0, c.neck[0], c.neck[1], 1)(x);
  for (const std::int64_t i : {0, 1, 2})
    x = c.residual(layers / 1 / "layer" / i, c.neck[i == 0 ? 1 : 2], c.neck[2], i == 0 ? 2 : 1)(x);
  for (const int stage : {3, 4, 5}) x = run_stage(x, layers / (stage - 1), c, stage);
  return x;
}

// DeepLabV3: convolutions with several dilations side by side, and the mean of the image. (Chen et al. 2017)
Value segment(Value x, const Scope& s, const Config& c, const PretrainedConfig& config) {
  const std::int64_t in = c.neck[5], out = moderate(config, "aspp_out_channels");
  const std::vector<std::int64_t> rates = per_stage(config, "atrous_rates", 3);
  const auto layer = [&](const Scope& at, std::int64_t from, std::int64_t kernel, std::int64_t dilation) {
    return nn::ConvLayer(
        at, {.in = from, .out = out, .kernel = kernel, .dilation = dilation, .activation = "relu"});
  };
  const Scope aspp = s / "aspp";
  std::vector<Value> pyramid = {layer(aspp / "convs" / 0, in, 1, 1)(x)};
  for (std::int64_t i = 1; i <= 3; ++i)
    pyramid.push_back(layer(aspp / "convs" / i, in, 3, rates[static_cast<std::size_t>(i - 1)])(x));
  const Value mean = op::mean(op::flatten(x, 2, 3), 2, true);
  const Value pooled = layer(aspp / "convs" / 4 / "conv_1x1", in, 1, 1)(op::unsqueeze(mean, 3));
  pyramid.push_back(op::expand(pooled, {x.dim(0), out, x.dim(2), x.dim(3)}));
  const Value features = layer(aspp / "project", 5 * out, 1, 1)(op::concat(pyramid, 1));
  return nn::Conv2d(s / "classifier" / "convolution", out, c.num_labels, {1, 1})(features);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("mobilevit");
  const Value features = encode(base, c, inputs["pixel_values"]);
  if (component.task == "image-segmentation")
    return {{"logits", segment(features, root / "segmentation_head", c, model.config())}};
  model.config().harmless({"aspp_out_channels", "atrous_rates"});  // of segmentation
  const Value hidden = c.layer(base / "conv_1x1_exp", c.neck[5], c.neck[6], 1)(features);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const nn::Linear classifier(root / "classifier", c.neck[6], c.num_labels);
  return {{"logits", classifier(nn::global_average_pool(hidden))}};
}

}  // namespace

void register_mobilevit(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "mobilevit",
       .tasks = {"feature-extraction", "image-classification", "image-segmentation"},
       .forward = forward});
}

}  // namespace onnxport::models
