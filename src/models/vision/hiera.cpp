// Hiera. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/hiera/modeling_hiera.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/common/config_lists.h"
#include "models/common/config_numbers.h"
#include "models/common/definition.h"
#include "models/vision/common/backbone.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

/// Images of one size: each token has a stored position.
class HieraOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

struct Config {
  std::int64_t num_channels, embed_dim, num_labels, num_query_pool;
  std::vector<std::int64_t> image_size, patch_size, patch_stride, patch_padding, query_stride, unit;
  std::vector<std::int64_t> depths, num_heads, widths;
  std::vector<bool> in_units;  ///< whether a stage's attention stays in a mask unit
  double mlp_ratio, layer_norm_eps;
  std::string hidden_act;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        embed_dim(moderate(c, "embed_dim")),
        num_labels(c.num_labels()),
        num_query_pool(c.integer("num_query_pool")),
        image_size(per_stage(c, "image_size", 2)),
        patch_size(per_stage(c, "patch_size", 2)),
        patch_stride(per_stage(c, "patch_stride", 2)),
        patch_padding(per_stage(c, "patch_padding", 2, 0)),
        query_stride(per_stage(c, "query_stride", 2)),
        unit(per_stage(c, "masked_unit_size", 2)),
        depths(per_stage(c, "depths", stage_count(c, "depths"))),
        num_heads(per_stage(c, "num_heads", std::ssize(depths))),
        in_units(flags(c, "masked_unit_attention", {true, true, false, false})),
        mlp_ratio(c.real("mlp_ratio")),
        layer_norm_eps(c.real("layer_norm_eps")),
        hidden_act(c.string("hidden_act")) {
    // Those of the head for masked images, and what follows from the others.
    c.harmless({"decoder_hidden_size", "decoder_depth", "decoder_num_heads", "normalize_pixel_loss",
                "mask_ratio", "hidden_size", "num_layers", "stage_names"});
    const double multiplier = c.real("embed_dim_multiplier");
    for (std::size_t i = 0; i < depths.size(); ++i) {
      const double width = static_cast<double>(embed_dim) * std::pow(multiplier, static_cast<double>(i));
      widths.push_back(width >= 1 && width < 1e6 ? static_cast<std::int64_t>(width) : 0);
    }
    const auto bad = [&](std::int64_t axis) {
      const auto i = static_cast<std::size_t>(axis);
      const std::int64_t cells = power(query_stride[i], steps());
      return unit[i] % cells != 0 || tokens(i) < 1 || tokens(i) % unit[i] != 0;
    };
    if (in_units.size() < depths.size() || num_query_pool < 0 || num_query_pool >= std::ssize(depths) ||
        widths.back() < 1 || bad(0) || bad(1) || !is_positive_below(mlp_ratio, 1000)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format(
              "{}: {} stages (depths) with {} flags in masked_unit_attention, num_query_pool {}, {} by {} "
              "tokens (image_size, patch_stride), masked_unit_size [{}], query_stride [{}], "
              "embed_dim_multiplier {} and mlp_ratio {} do not fit together",
              c.origin(), depths.size(), in_units.size(), num_query_pool, tokens(0), tokens(1),
              fmt::join(unit, ", "), fmt::join(query_stride, ", "), multiplier, mlp_ratio));
    }
    check_stage_heads(c, "embed_dim times embed_dim_multiplier", widths, "num_heads", num_heads);
  }

  static std::int64_t power(std::int64_t base, std::int64_t exponent) {
    std::int64_t result = 1;
    while (exponent-- > 0) result = std::min<std::int64_t>(result * base, 1 << 30);
    return result;
  }
  std::int64_t steps() const { return std::ssize(depths) - 1; }  ///< of the order of tokens
  std::int64_t tokens(std::size_t axis) const { return image_size[axis] / patch_stride[axis]; }
  std::int64_t pool() const { return query_stride[0] * query_stride[1]; }
};

// The row-major number of each token of a grid in the order of the network: tokens that a query pools lie
// apart by a quarter (for a stride of 2) of all, and so on for each step within such a part.
std::vector<std::int64_t> unrolled(const Config& c, std::int64_t rows, std::int64_t columns,
                                   std::int64_t steps) {
  struct Part {
    std::int64_t y, x, rows, columns, step_y, step_x;
  };
  std::vector<Part> parts = {{0, 0, rows, columns, 1, 1}};
  for (std::int64_t step = 0; step < steps; ++step) {
    std::vector<Part> smaller;
    for (const Part& p : parts) {
      for (std::int64_t y = 0; y < c.query_stride[0]; ++y)
        for (std::int64_t x = 0; x < c.query_stride[1]; ++x)
          smaller.push_back({p.y + y * p.step_y, p.x + x * p.step_x, p.rows / c.query_stride[0],
                             p.columns / c.query_stride[1], p.step_y * c.query_stride[0],
                             p.step_x * c.query_stride[1]});
    }
    parts = std::move(smaller);
  }
  std::vector<std::int64_t> order;
  for (const Part& p : parts) {
    for (std::int64_t y = 0; y < p.rows; ++y)
      for (std::int64_t x = 0; x < p.columns; ++x)
        order.push_back((p.y + y * p.step_y) * columns + p.x + x * p.step_x);
  }
  return order;
}

// tokens [B, S, C] in another order.
Value reordered(Value tokens, const std::vector<std::int64_t>& order) {
  const Value rows = tokens.graph().weight(Weight::from_ints({std::ssize(order)}, order));
  return op::transpose(op::embedding(op::transpose(tokens, 0, 1), rows), 0, 1);
}

// The largest of the tokens that one query pools: [B, S, C] -> [B, S / count, C]
Value pooled(Value tokens, std::int64_t count) {
  if (count == 1) return tokens;
  const Value groups =
      op::reshape(tokens, {tokens.dim(0), count, tokens.dim(1).floor_div(count), tokens.dim(2)});
  return op::amax(groups, 1);
}

struct LayerSizes {
  std::int64_t in, out, heads;
  std::int64_t pool;     ///< tokens for each query
  std::int64_t windows;  ///< in which attention takes place
};

// [B, S, C] -> [B, S / pool, C]. Neighbours in the order of tokens belong to different windows.
Value attention(Value x, const Scope& s, const LayerSizes& l) {
  const ModulePath at(x, s.path());
  const std::vector<Value> parts = op::chunk(nn::Linear(s / "qkv", l.in, 3 * l.out)(x), 2, 3);
  const Dim& batch = x.dim(0);
  const auto by_window = [&](Value y) {
    if (l.windows == 1) return y;
    const Dim length = y.dim(1).floor_div(l.windows);
    const Value cut = op::permute(op::reshape(y, {batch, length, l.windows, l.out}), {0, 2, 1, 3});
    return op::reshape(cut, {batch * l.windows, length, l.out});
  };
  const Value query = by_window(pooled(parts[0], l.pool));
  const Value key = by_window(parts[1]);
  const Value value = by_window(parts[2]);
  Value context = op::attention({.query = query, .key = key, .value = value}, l.heads, l.heads).output;
  if (l.windows > 1) {
    const Value cut = op::reshape(context, {batch, l.windows, context.dim(1), l.out});
    context = op::flatten(op::permute(cut, {0, 2, 1, 3}), 1, 2);
  }
  return nn::Linear(s / "proj", l.out, l.out)(context);
}

Value run_layer(Value x, const Scope& s, const Config& c, const LayerSizes& l) {
  const ModulePath at(x, s.path());
  const auto inner = static_cast<std::int64_t>(static_cast<double>(l.out) * c.mlp_ratio);
  const nn::LayerNorm before(s / "layernorm_before", l.in, c.layer_norm_eps);
  const nn::LayerNorm after(s / "layernorm_after", l.out, c.layer_norm_eps);
  const nn::Linear fc1(s / "mlp" / "fc1", l.out, inner), fc2(s / "mlp" / "fc2", inner, l.out);
  const Value normed = before(x);
  if (l.in != l.out) x = pooled(nn::Linear(s / "proj", l.in, l.out)(normed), l.pool);
  const Value middle = op::add(x, attention(normed, s / "attn", l));
  const Value fed = fc2(nn::Activation(c.hidden_act)(fc1(after(middle))));
  return op::add(middle, fed);
}

// Tokens behind the embeddings and behind each stage.
std::vector<Value> encode(Value x, const Scope& s, const Config& c) {
  std::vector<Value> states = {x};
  std::int64_t area = c.unit[0] * c.unit[1], in = c.embed_dim;
  for (std::size_t i = 0; i < c.depths.size(); ++i) {
    const auto number = static_cast<std::int64_t>(i);
    const bool units_before = c.in_units[i == 0 ? 0 : i - 1];
    for (std::int64_t j = 0; j < c.depths[i]; ++j) {
      const bool first = j == 0;
      const std::int64_t pool = first && i > 0 && number <= c.num_query_pool ? c.pool() : 1;
      const bool in_units = c.in_units[i] || (first && units_before);
      const std::int64_t windows =
          in_units ? *x.dim(1).constant() / std::max<std::int64_t>(pool * area, 1) : 1;
      x = run_layer(x, s / "stages" / number / "layers" / j, c,
                    {in, c.widths[i], c.num_heads[i], pool, std::max<std::int64_t>(windows, 1)});
      in = c.widths[i];
    }
    area /= c.pool();
    states.push_back(x);
  }
  return states;
}

Value embed(const Scope& s, const Config& c, Value pixel_values) {
  const nn::Conv2d projection(s / "patch_embeddings" / "projection", c.num_channels, c.embed_dim,
                              {c.patch_size[0], c.patch_size[1]}, true,
                              {.stride = {c.patch_stride[0], c.patch_stride[1]},
                               .padding = {c.patch_padding[0], c.patch_padding[1]}});
  const ModulePath at(pixel_values, s.path());
  const Value tokens = nn::image_to_tokens(projection(pixel_values));
  const Weight positions = s.weight("position_embeddings", {1, c.tokens(0) * c.tokens(1), c.embed_dim});
  return op::add(tokens, tokens.graph().weight(positions));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  model.config().harmless({"out_features", "out_indices"});  // of a backbone
  const Scope root = model.scope();
  const Scope base = root.base_model("hiera");
  const Value tokens = embed(base / "embeddings", c, inputs["pixel_values"]);
  const Value ordered = reordered(tokens, unrolled(c, c.tokens(0), c.tokens(1), c.steps()));
  const Value hidden = encode(ordered, base / "encoder", c).back();
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const std::int64_t width = c.widths.back();
  const nn::LayerNorm norm(base / "pooler" / "layernorm", width, c.layer_norm_eps);
  return {{"logits", nn::Linear(root / "classifier", width, c.num_labels)(norm(op::mean(hidden, 1)))}};
}

// As a backbone, the original forgets to bring the tokens into the order of the network, but restores the
// order of the image.
BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  if (pixel_values.dim(2) != Dim(c.image_size[0]) || pixel_values.dim(3) != Dim(c.image_size[1])) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: a backbone of type 'hiera' takes images of {} by {} only, but these are of {} "
                    "by {}; make all axes static, with this size",
                    config.origin(), c.image_size[0], c.image_size[1], pixel_values.dim(2).str(),
                    pixel_values.dim(3).str()));
  }
  const std::vector<std::int64_t> chosen = backbone_stages(config, std::ssize(c.depths));
  const std::vector<Value> states = encode(embed(s / "embeddings", c, pixel_values), s / "encoder", c);
  BackboneFeatures features;
  for (const std::int64_t stage : chosen) {
    const std::int64_t pools = std::min(std::max<std::int64_t>(stage - 1, 0), c.num_query_pool);
    const std::int64_t rows = c.tokens(0) / Config::power(c.query_stride[0], pools);
    const std::int64_t columns = c.tokens(1) / Config::power(c.query_stride[1], pools);
    const std::vector<std::int64_t> order = unrolled(c, rows, columns, c.steps() - pools);
    std::vector<std::int64_t> back(order.size());
    for (std::size_t i = 0; i < order.size(); ++i)
      back[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
    const std::string name = stage == 0 ? "stem" : fmt::format("stage{}", stage);
    const Value raster = reordered(states[static_cast<std::size_t>(stage)], back);
    const std::int64_t width = *raster.dim(2).constant();
    constexpr double kEps = 1e-5;
    const Value normed = nn::LayerNorm(s / "hidden_states_norms" / name, width, kEps)(raster);
    features.stages.push_back(nn::tokens_to_image(normed, rows, columns));
  }
  return features;
}

}  // namespace

void register_hiera(TasksManager& tasks) {
  tasks.register_model<HieraOnnxConfig>({.model_type = "hiera",
                                         .tasks = {"feature-extraction", "image-classification"},
                                         .forward = forward,
                                         .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
