// MobileViTV2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mobilevitv2/modeling_mobilevitv2.py
#include <fmt/format.h>

#include <algorithm>

#include "models/common/config_numbers.h"
#include "models/common/definition.h"
#include "models/vision/common/mobilevit.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

struct Config : MobileViTConfig {
  double width_multiplier;
  std::int64_t ffn_multiplier;
  std::vector<std::int64_t> n_attn_blocks, base_attn_unit_dims;

  explicit Config(const PretrainedConfig& c)
      : MobileViTConfig(c),
        width_multiplier(c.real("width_multiplier")),
        ffn_multiplier(moderate(c, "ffn_multiplier")),
        n_attn_blocks(per_stage(c, "n_attn_blocks", 3)),
        base_attn_unit_dims(per_stage(c, "base_attn_unit_dims", 3)) {
    c.harmless(
        {"attn_dropout", "ffn_dropout", "aspp_out_channels", "atrous_rates"});  // the last two: of a head
    if (is_positive_below(width_multiplier, 1000)) return;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: width_multiplier is {}, expected a positive number", c.origin(), width_multiplier));
  }

  std::int64_t width(std::int64_t channels, std::int64_t step = 8) const {
    return round_channels(static_cast<double>(channels) * width_multiplier, step, step);
  }
  std::int64_t stem_width() const {
    return round_channels(std::clamp(32 * width_multiplier, 16.0, 64.0), 8, 16);
  }
};

// Channels after the stages 1 to 5.
constexpr std::int64_t kChannels[] = {64, 128, 256, 384, 512};

nn::Conv2d pointwise(const Scope& s, std::int64_t in, std::int64_t out, bool bias = true) {
  return {s / "convolution", in, out, {1, 1}, bias};
}

// Attention with one query for all patches. x [B, width, places in a patch, patches] -> the same
Value linear_attention(Value x, const Scope& s, std::int64_t width) {
  const ModulePath at(x, s.path());
  const Value projected = pointwise(s / "qkv_proj", width, 1 + 2 * width)(x);
  const std::vector<Value> parts = op::split(projected, 1, {1, width, width});
  const Value scores = op::softmax(parts[0], -1);
  const Value context = op::sum(op::mul(parts[1], scores), -1, true);
  const Value value = op::relu(parts[2]);
  return pointwise(s / "out_proj", width, width)(op::mul(value, context));
}

Value run_layer(Value x, const Scope& s, const Config& c, std::int64_t width) {
  const ModulePath at(x, s.path());
  const auto norm = [&](const char* name) { return nn::GroupNorm(s / name, 1, width, c.layer_norm_eps); };
  const Value attended = linear_attention(norm("layernorm_before")(x), s / "attention", width);
  const Value middle = op::add(x, attended);
  const std::int64_t inner = c.ffn_multiplier * width / 16 * 16;
  const Value wide = pointwise(s / "ffn" / "conv1", width, inner)(norm("layernorm_after")(middle));
  const Value fed = pointwise(s / "ffn" / "conv2", inner, width)(nn::Activation(c.hidden_act)(wide));
  return op::add(middle, fed);
}

// Applies `mix` to the patches of side x side pixels that fit into an image; the rest becomes zero. mix: [B,
// C, side², patches] -> the same; image [B, C, H, W] -> the same.
Value mix_patches(Value image, std::int64_t side, const std::function<Value(Value)>& mix) {
  const Dim &batch = image.dim(0), &channels = image.dim(1), &height = image.dim(2), &width = image.dim(3);
  const Dim down = height.floor_div(side), across = width.floor_div(side);
  const bool rest = down * side != height || across * side != width;
  if (rest) image = op::slice(op::slice(image, 2, 0, down * side), 3, 0, across * side);
  const Value cut = op::reshape(image, {batch, channels, down, side, across, side});
  const Value by_place = op::permute(cut, {0, 1, 3, 5, 2, 4});
  const Value mixed = mix(op::reshape(by_place, {batch, channels, side * side, down * across}));
  const Value apart = op::reshape(mixed, {batch, channels, side, side, down, across});
  const Value together = op::permute(apart, {0, 1, 4, 2, 5, 3});
  Value joined = op::reshape(together, {batch, channels, down * side, across * side});
  if (!rest) return joined;
  return op::pad(joined, {0, 0, 0, 0}, {0, 0, height - down * side, width - across * side});
}

// Stages 3 to 5: convolutions around a transformer.
Value run_stage(Value x, const Scope& s, const Config& c, int stage) {
  const auto i = static_cast<std::size_t>(stage);
  const std::int64_t out = c.width(kChannels[i - 1]), width = c.width(c.base_attn_unit_dims[i - 3]);
  x = c.downsampling(s / "downsampling_layer", c.width(kChannels[i - 2]), out, stage)(x);
  const ModulePath at(x, s.path());
  const Value local = c.layer(s / "conv_kxk", out, out, c.conv_kernel_size, 1, out)(x);
  const Value narrow = pointwise(s / "conv_1x1", out, width, false)(local);
  const nn::GroupNorm norm(s / "layernorm", 1, width, c.layer_norm_eps);
  const Value mixed = mix_patches(narrow, c.patch_size, [&](Value patches) {
    const Scope layers = s / "transformer" / "layer";
    for (std::int64_t j = 0; j < c.n_attn_blocks[i - 3]; ++j)
      patches = run_layer(patches, layers / j, c, width);
    return norm(patches);
  });
  return nn::ConvLayer(s / "conv_projection", {.in = width, .out = out})(mixed);
}

// [B, num_channels, H, W] -> [B, C, H', W']
Value encode(const Scope& s, const Config& c, Value x) {
  const std::int64_t stem = c.stem_width(), first = c.width(kChannels[0], 16), second = c.width(kChannels[1]);
  x = c.layer(s / "conv_stem", c.num_channels, stem, 3, 2)(x);
  const Scope layers = s / "encoder" / "layer";
  x = c.residual(layers / 0 / "layer" / 0, stem, first, 1)(x);
  x = c.residual(layers / 1 / "layer" / 0, first, second, 2)(x);
  x = c.residual(layers / 1 / "layer" / 1, second, second, 1)(x);
  for (const int stage : {3, 4, 5}) x = run_stage(x, layers / (stage - 1), c, stage);
  return x;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("mobilevitv2"), c, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const nn::Linear classifier(root / "classifier", c.width(kChannels[4]), c.num_labels);
  return {{"logits", classifier(nn::global_average_pool(hidden))}};
}

}  // namespace

void register_mobilevitv2(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "mobilevitv2",
                                          .tasks = {"feature-extraction", "image-classification"},
                                          .forward = forward});
}

}  // namespace onnxport::models
