#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/segformer.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

// The original ignores layer_norm_eps.
constexpr double kEps = 1e-5;

template <class T>
void check(const PretrainedConfig& c, const char* key, bool good, const std::vector<T>& values) {
  if (good) return;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} is [{}], expected a positive number for each of the {} blocks of "
                                "num_encoder_blocks, and heads that divide hidden_sizes",
                                c.origin(), key, fmt::join(values, ", "), c.integer("num_encoder_blocks")));
}

// Attention to fewer tokens: each patch of sr_ratio x sr_ratio of them becomes one key. (Wang et al. 2021)
struct EfficientAttention {
  std::string path;
  SegformerStage stage;
  nn::Linear query, key, value, output;
  std::optional<nn::Conv2d> reduction;
  std::optional<nn::LayerNorm> norm;

  EfficientAttention(const Scope& s, const SegformerStage& stage)
      : path(s.path()),
        stage(stage),
        query(s / "self" / "query", stage.width, stage.width),
        key(s / "self" / "key", stage.width, stage.width),
        value(s / "self" / "value", stage.width, stage.width),
        output(s / "output" / "dense", stage.width, stage.width) {
    if (stage.sr_ratio == 1) return;
    const nn::KernelSize patch = {stage.sr_ratio, stage.sr_ratio};
    reduction.emplace(s / "self" / "sr", stage.width, stage.width, patch, true,
                      op::ConvOptions{.stride = {patch.height, patch.width}});
    norm.emplace(s / "self" / "layer_norm", stage.width, kEps);
  }

  Value operator()(Value x, const nn::TokenGrid& grid) const {
    const ModulePath at(x, path);
    Value seen = x;
    nn::TokenGrid keys = grid;
    if (reduction) {
      const Value reduced = (*reduction)(nn::rows_to_image(x, grid));
      keys = nn::grid_of(reduced);
      seen = (*norm)(nn::image_to_rows(reduced));
    }
    const Value q = nn::rows_to_tokens(query(x), grid);
    const Value k = nn::rows_to_tokens(key(seen), keys);
    const Value v = nn::rows_to_tokens(value(seen), keys);
    const Value context = op::attention({.query = q, .key = k, .value = v}, stage.heads, stage.heads).output;
    return output(op::reshape(context, x.shape()));
  }
};

// Linear, depthwise convolution, activation, linear.
struct MixFeedForward {
  std::string path;
  nn::Linear up, down;
  nn::Conv2d depthwise;
  nn::Activation activation;

  MixFeedForward(const Scope& s, const SegformerEncoderConfig& c, const SegformerStage& stage)
      : path(s.path()),
        up(s / "dense1", stage.width, stage.inner),
        down(s / "dense2", stage.inner, stage.width),
        depthwise(s / "dwconv" / "dwconv", stage.inner, stage.inner, {3, 3}, true,
                  {.padding = {1, 1}, .groups = stage.inner}),
        activation(c.hidden_act) {}

  Value operator()(Value x, const nn::TokenGrid& grid) const {
    const ModulePath at(x, path);
    const Value image = depthwise(nn::rows_to_image(up(x), grid));
    return down(activation(nn::image_to_rows(image)));
  }
};

struct Layer {
  std::string path;
  nn::LayerNorm layer_norm_1, layer_norm_2;
  EfficientAttention attention;
  MixFeedForward mlp;

  Layer(const Scope& s, const SegformerEncoderConfig& c, const SegformerStage& stage)
      : path(s.path()),
        layer_norm_1(s / "layer_norm_1", stage.width, kEps),
        layer_norm_2(s / "layer_norm_2", stage.width, kEps),
        attention(s / "attention", stage),
        mlp(s / "mlp", c, stage) {}

  Value operator()(Value x, const nn::TokenGrid& grid) const {
    const ModulePath at(x, path);
    const Value attended = attention(layer_norm_1(x), grid);
    const Value middle = op::add(x, attended);
    const Value fed = mlp(layer_norm_2(middle), grid);
    return op::add(middle, fed);
  }
};

// An image, or a stage's tokens as an image -> the tokens of the next stage.
SegformerTokens run_stage(Value image, const Scope& s, const SegformerEncoderConfig& c, std::size_t i) {
  const SegformerStage& stage = c.stages[i];
  const auto number = static_cast<std::int64_t>(i);
  const Scope embeddings = s / "patch_embeddings" / number;
  const std::int64_t channels = i == 0 ? c.num_channels : c.stages[i - 1].width;
  const nn::Conv2d projection(
      embeddings / "proj", channels, stage.width, {stage.patch_size, stage.patch_size}, true,
      {.stride = {stage.stride, stage.stride}, .padding = {stage.patch_size / 2, stage.patch_size / 2}});
  const ModulePath at(image, embeddings.path());
  const Value patches = projection(image);
  const nn::TokenGrid grid = nn::grid_of(patches);
  Value x = nn::LayerNorm(embeddings / "layer_norm", stage.width, kEps)(nn::image_to_rows(patches));

  const Scope layers = s / "block" / number;
  for (std::int64_t j = 0; j < stage.depth; ++j) x = Layer(layers / j, c, stage)(x, grid);
  return {nn::LayerNorm(s / "layer_norm" / number, stage.width, kEps)(x), grid};
}

}  // namespace

SegformerEncoderConfig::SegformerEncoderConfig(const PretrainedConfig& c)
    : num_channels(c.integer("num_channels")), hidden_act(c.string("hidden_act")) {
  // Of training.
  c.harmless({"layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob",
              "classifier_dropout_prob", "drop_path_rate", "initializer_range",
              "semantic_loss_ignore_index"});
  const std::int64_t count = c.integer("num_encoder_blocks");
  const auto list = [&](const char* key) {
    std::vector<std::int64_t> values = c.integers(key);
    check(c, key, count >= 1 && static_cast<std::int64_t>(values.size()) >= count, values);
    for (const std::int64_t value : values) check(c, key, value >= 1, values);
    return values;
  };
  const auto depths = list("depths"), widths = list("hidden_sizes"), heads = list("num_attention_heads");
  const auto patches = list("patch_sizes"), strides = list("strides"), ratios = list("sr_ratios");
  const std::vector<double> mlp_ratios = c.reals("mlp_ratios");
  check(c, "mlp_ratios", static_cast<std::int64_t>(mlp_ratios.size()) >= count, mlp_ratios);
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    check(c, "num_attention_heads", widths[i] % heads[i] == 0, heads);
    const auto inner = static_cast<std::int64_t>(static_cast<double>(widths[i]) * mlp_ratios[i]);
    stages.push_back({depths[i], widths[i], heads[i], inner, patches[i], strides[i], ratios[i]});
  }
}

std::vector<SegformerTokens> segformer_stages(const Scope& s, const SegformerEncoderConfig& c,
                                              Value pixel_values) {
  std::vector<SegformerTokens> stages;
  for (std::size_t i = 0; i < c.stages.size(); ++i)
    stages.push_back(run_stage(i == 0 ? pixel_values : stages.back().image(), s, c, i));
  return stages;
}

ImageSize SegformerOnnxConfig::smallest_image() const {
  const SegformerEncoderConfig c(config().unaccounted());
  std::int64_t size = 1;
  for (auto stage = c.stages.rbegin(); stage != c.stages.rend(); ++stage) {
    size = std::max(size, stage->sr_ratio);
    size = std::max<std::int64_t>((size - 1) * stage->stride + stage->patch_size % 2, 1);
  }
  return {size, size};
}

}  // namespace onnxport::models
