// SegFormer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/segformer/modeling_segformer.py
#include <fmt/format.h>

#include <algorithm>

#include "models/definition.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

// No norm of the original listens to layer_norm_eps.
constexpr double kEps = 1e-5;

struct Stage {
  std::int64_t depth, width, heads, inner, patch_size, stride, sr_ratio;
};

struct Config {
  std::int64_t num_channels, decoder_hidden_size;
  std::string hidden_act;
  bool reshape_last_stage;
  std::vector<Stage> stages;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        decoder_hidden_size(c.integer("decoder_hidden_size")),
        hidden_act(c.string("hidden_act")),
        reshape_last_stage(c.flag("reshape_last_stage", true)) {
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

 private:
  template <class T>
  static void check(const PretrainedConfig& c, const char* key, bool good, const std::vector<T>& values) {
    if (good) return;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} is [{}], expected a positive number for each of the {} blocks of "
                                  "num_encoder_blocks, and heads that divide hidden_sizes",
                                  c.origin(), key, fmt::join(values, ", "), c.integer("num_encoder_blocks")));
  }
};

class SegformerOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  // Of a smaller one, some stage has fewer tokens than become one key.
  ImageSize smallest_image() const override {
    const Config c(config().unaccounted());
    std::int64_t size = 1;
    for (auto stage = c.stages.rbegin(); stage != c.stages.rend(); ++stage) {
      size = std::max(size, stage->sr_ratio);
      size = std::max<std::int64_t>((size - 1) * stage->stride + stage->patch_size % 2, 1);
    }
    return {size, size};
  }
};

// Attention to fewer tokens: each patch of sr_ratio x sr_ratio of them becomes one key. (Wang et al. 2021)
struct EfficientAttention {
  std::string path;
  Stage stage;
  nn::Linear query, key, value, output;
  std::optional<nn::Linear> reduction;  // the convolution `sr`, whose stride is its kernel
  std::optional<nn::LayerNorm> norm;

  EfficientAttention(const Scope& s, const Stage& stage)
      : path(s.path()),
        stage(stage),
        query(s / "self" / "query", stage.width, stage.width),
        key(s / "self" / "key", stage.width, stage.width),
        value(s / "self" / "value", stage.width, stage.width),
        output(s / "output" / "dense", stage.width, stage.width) {
    if (stage.sr_ratio == 1) return;
    const std::int64_t width = stage.width, side = stage.sr_ratio;
    const Scope sr = s / "self" / "sr";
    const Weight kernel = sr.weight("weight", {width, width, side, side});
    const Weight by_token = kernel.permute({0, 2, 3, 1}).reshape({width, side * side * width});
    reduction.emplace(sr.path(), by_token.named(kernel.name() + ".by_token"), sr.weight("bias", {width}));
    norm.emplace(s / "self" / "layer_norm", width, kEps);
  }

  // `patches`: those of the stage, where it reduces.
  Value operator()(Value x, const nn::TokenGrid& grid, const nn::RowSelection& patches) const {
    const ModulePath at(x, path);
    Value seen = x;
    nn::TokenGrid keys = grid;
    if (reduction) {
      keys = {grid.batch, grid.height.floor_div(stage.sr_ratio), grid.width.floor_div(stage.sr_ratio)};
      const Value tokens = patches(x);
      const Value joined = op::reshape(tokens, {keys.rows(), stage.sr_ratio * stage.sr_ratio * stage.width});
      seen = (*norm)((*reduction)(joined));
    }
    const auto heads_of = [&](const nn::Linear& projection, Value rows, const nn::TokenGrid& of) {
      return nn::split_heads(nn::rows_to_tokens(projection(rows), of), stage.heads);
    };
    const Value q = heads_of(query, x, grid);
    const Value k = heads_of(key, seen, keys);
    const Value v = heads_of(value, seen, keys);
    const Value context = nn::merge_heads(op::scaled_dot_product_attention(q, k, v));
    return output(op::reshape(context, x.shape()));
  }
};

// A linear layer on the channels of an image.
Value pointwise(const nn::Linear& linear, Value image) {
  const ModulePath at(image, linear.path());
  const Weight& weight = linear.weight();
  const Value kernel = image.graph().weight(weight.reshape({weight.shape()[0], weight.shape()[1], 1, 1}));
  return op::conv2d(image, kernel, image.graph().weight(linear.bias()));
}

// Linear, depthwise convolution, activation, linear. Where tokens change into an image and back they are
// narrow: the linear layers are convolutions.
struct MixFeedForward {
  std::string path;
  nn::Linear up, down;
  nn::Conv2d depthwise;
  nn::Activation activation;

  MixFeedForward(const Scope& s, const Config& c, const Stage& stage)
      : path(s.path()),
        up(s / "dense1", stage.width, stage.inner),
        down(s / "dense2", stage.inner, stage.width),
        depthwise(s / "dwconv" / "dwconv", stage.inner, stage.inner, {3, 3}, true,
                  {.padding = {1, 1}, .groups = stage.inner}),
        activation(c.hidden_act) {}

  Value operator()(Value x, const nn::TokenGrid& grid) const {
    const ModulePath at(x, path);
    const Value wide = activation(depthwise(pointwise(up, nn::rows_to_image(x, grid))));
    return nn::image_to_rows(pointwise(down, wide));
  }
};

struct Layer {
  std::string path;
  nn::LayerNorm layer_norm_1, layer_norm_2;
  EfficientAttention attention;
  MixFeedForward mlp;

  Layer(const Scope& s, const Config& c, const Stage& stage)
      : path(s.path()),
        layer_norm_1(s / "layer_norm_1", stage.width, kEps),
        layer_norm_2(s / "layer_norm_2", stage.width, kEps),
        attention(s / "attention", stage),
        mlp(s / "mlp", c, stage) {}

  Value operator()(Value x, const nn::TokenGrid& grid, const nn::RowSelection& patches) const {
    const ModulePath at(x, path);
    const Value attended = attention(layer_norm_1(x), grid, patches);
    const Value middle = op::add(x, attended);
    const Value fed = mlp(layer_norm_2(middle), grid);
    return op::add(middle, fed);
  }
};

// What a stage gives.
struct StageTokens {
  Value rows;
  nn::TokenGrid grid;
};

// An image, or a stage's tokens as an image -> the tokens of the next stage.
StageTokens run_stage(Value image, const Scope& s, const Config& c, std::size_t i) {
  const Stage& stage = c.stages[i];
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
  nn::RowSelection reduced;
  if (stage.sr_ratio > 1) {
    const ModulePath inside(x, layers.path());
    reduced = nn::patches_of(x.graph(), grid, stage.sr_ratio, nn::PatchEdge::drop);
  }
  for (std::int64_t j = 0; j < stage.depth; ++j) x = Layer(layers / j, c, stage)(x, grid, reduced);
  return {nn::LayerNorm(s / "layer_norm" / number, stage.width, kEps)(x), grid};
}

// The original unifies the channels of all stages by a linear layer each, resizes, joins them and applies a
// convolution of one place, in which each stage has its part. Neither cares for the places that resizing
// mixes with weights that sum to one. So both layers become one in front of the resizing: the larger part of
// a small model's work.
Value decode_head(const std::vector<Value>& images, const Scope& s, const Config& c, std::int64_t labels) {
  const ModulePath at(images[0], s.path());
  Graph& graph = images[0].graph();
  const std::int64_t width = c.decoder_hidden_size;
  const auto count = static_cast<std::int64_t>(images.size());
  const nn::BatchNorm2d norm(s / "batch_norm", width);
  const Weight fuse = (s / "linear_fuse").weight("weight", {width, width * count, 1, 1}).cast(DType::f32);
  const Weight scaled = fuse.reshape({width, width * count}).mul(norm.scale().reshape({width, 1}));
  const Value zero = graph.weight(norm.shift());
  Value total;
  for (std::int64_t i = 0; i < count; ++i) {
    const Scope linear = s / "linear_c" / i / "proj";
    const auto stage = static_cast<std::size_t>(i);
    const std::int64_t channels = c.stages[stage].width;
    const std::int64_t part = (count - 1 - i) * width;  // the last stage comes first
    const Value mix = graph.weight(scaled.slice(1, part, part + width));
    const Weight unify = linear.weight("weight", {width, channels});
    const Value unify_transposed = graph.weight(unify.permute({1, 0}));
    const Value kernel = op::linear(mix, unify_transposed);  // mix times unify
    const Value shift = graph.weight(linear.weight("bias", {width}).reshape({1, width}));
    const Value bias = op::linear(shift, mix, i == 0 ? zero : Value());
    const Value square = op::reshape(kernel, {width, channels, 1, 1});
    const Value mixed = op::conv2d(images[stage], square, op::reshape(bias, {width}));
    if (i == 0) {
      total = mixed;
    } else {
      total = op::add(total, op::interpolate(mixed, {images[0].dim(2), images[0].dim(3)}, "linear"));
    }
  }
  return nn::Conv2d(s / "classifier", width, labels, {1, 1})(op::relu(total));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope encoder = root.base_model("segformer") / "encoder";
  const bool segments = component.task == "semantic-segmentation" || component.task == "image-segmentation";
  Value image = inputs["pixel_values"];
  StageTokens last;
  std::vector<Value> images;
  for (std::size_t i = 0; i < c.stages.size(); ++i) {
    last = run_stage(image, encoder, c, i);
    image = nn::rows_to_image(last.rows, last.grid);
    images.push_back(image);
  }
  // With reshape_last_stage false, the original's decode head guesses the size of the last grid from its
  // width: where it is right, this is the same.
  if (segments)
    return {{"logits", decode_head(images, root / "decode_head", c, model.config().num_labels())}};
  const Value tokens = nn::rows_to_tokens(last.rows, last.grid);
  if (component.task == "feature-extraction")
    return {{"last_hidden_state", c.reshape_last_stage ? image : tokens}};
  const nn::Linear classifier(root / "classifier", c.stages.back().width, model.config().num_labels());
  return {{"logits", classifier(op::mean(tokens, 1))}};
}

}  // namespace

void register_segformer(TasksManager& tasks) {
  tasks.register_model<SegformerOnnxConfig>(
      {.model_type = "segformer",
       .tasks = {"feature-extraction", "image-classification", "image-segmentation", "semantic-segmentation"},
       .forward = forward});
}

}  // namespace onnxport::models
