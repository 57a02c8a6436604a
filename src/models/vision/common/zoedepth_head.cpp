#include "models/vision/common/zoedepth_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

nn::Conv2d pointwise(const Scope& s, std::int64_t in, std::int64_t out) { return {s, in, out, {1, 1}}; }

Value resized(Value x, Value like) {
  if (x.dim(2) == like.dim(2) && x.dim(3) == like.dim(3)) return x;
  return op::interpolate(x, {like.dim(2), like.dim(3)}, "linear", true);
}

/// conv2(relu(conv1(x)))
Value project(const Scope& s, Value x, std::int64_t inner, std::int64_t out) {
  const ModulePath at(x, s.path());
  const Value wide = op::relu(pointwise(s / "conv1", *x.dim(1).constant(), inner)(x));
  return pointwise(s / "conv2", inner, out)(wide);
}

// The centres of the first bins: [B, n_bins, h, w].
Value seed_centres(const Scope& s, const ZoeHeadConfig& c, const ZoeBins& bins, std::int64_t inner, Value x) {
  const Value raw = project(s, x, inner, bins.n_bins);
  const ModulePath at(raw, s.path());
  if (!c.normed) return op::softplus(raw);
  // Widths that fill the range, and the middle between their edges.
  const Value parts = op::add(op::relu(raw), 1e-3);
  const Value share = op::div(parts, op::sum(parts, 1, true));
  const Value widths = op::mul(share, bins.max_depth - bins.min_depth);
  const Value above = op::add(op::cumsum(widths, 1), bins.min_depth);
  return op::sub(above, op::mul(widths, 0.5));
}

// The centres of bins, moved towards points. The points are computed from `x`.
Value attract(const Scope& s, const ZoeHeadConfig& c, std::int64_t points, Value x, Value centres) {
  const std::int64_t width = c.bin_embedding_dim, outputs = c.normed ? 2 * points : points;
  const Value raw = project(s, x, width, outputs);
  const ModulePath at(raw, s.path());
  // Of two numbers per point, the original uses the first.
  const Value places = c.normed ? op::add(op::relu(raw), 1e-3) : op::softplus(raw);
  const Value from = resized(centres, places);
  Value moved;
  for (std::int64_t i = 0; i < points; ++i) {
    const std::int64_t channel = c.normed ? 2 * i : i;
    const Value apart = op::sub(op::slice(places, 1, channel, channel + 1), from);
    const Value weakened = op::add(op::mul(op::mul(apart, apart), 300.0), 1.0);
    const Value step = op::div(apart, weakened);
    moved = moved ? op::add(moved, step) : step;
  }
  if (c.mean) moved = op::div(moved, static_cast<double>(points));
  return op::add(from, moved);
}

// The logarithm of each binomial coefficient, as the original approximates it: [1, n, 1, 1].
Weight log_binomials(std::int64_t n) {
  constexpr double eps = 1e-7;
  const double last = static_cast<double>(n - 1) + eps;
  std::vector<double> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const double k = static_cast<double>(i) + eps, rest = static_cast<double>(n - 1 - i);
    values.push_back(last * std::log(last) - k * std::log(k) - rest * std::log(rest + eps));
  }
  return Weight::from_doubles(DType::f32, {1, n, 1, 1}, values);
}

Weight counted(std::int64_t n, bool down) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(static_cast<double>(down ? n - 1 - i : i));
  return Weight::from_doubles(DType::f32, {1, n, 1, 1}, values);
}

// The share of each bin, a binomial distribution of one probability per pixel: [B, n_bins, H, W].
Value bin_shares(const Scope& s, const ZoeHeadConfig& c, const ZoeBins& bins, std::int64_t bottleneck,
                 Value x) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const std::int64_t n = bins.n_bins;
  const Value narrow = op::gelu(pointwise(s / "mlp" / 0, *x.dim(1).constant(), bottleneck)(x));
  const Value raw = op::add(op::softplus(pointwise(s / "mlp" / 2, bottleneck, 4)(narrow)), 1e-4);
  const std::vector<Value> four = op::split(raw, 1, {1, 1, 1, 1});
  const Value probability = op::div(four[0], op::add(four[0], four[1]));
  const Value share = op::div(four[2], op::add(four[2], four[3]));
  const Value temperature = op::add(op::mul(share, c.max_temp - c.min_temp), c.min_temp);
  const Value other = op::log(op::clamp(op::sub(1.0, probability), 1e-4, 1.0));
  const Value own = op::log(op::clamp(probability, 1e-4, 1.0));
  const Value hits = op::mul(own, graph.weight(counted(n, false)));
  const Value misses = op::mul(other, graph.weight(counted(n, true)));
  const Value both = op::add(hits, graph.weight(log_binomials(n)));
  return op::softmax(op::div(op::add(both, misses), temperature), 1);
}

/// The names and sizes of a head, which are others if there are two.
struct Places {
  Scope seed, attractors, shares;
  std::int64_t seed_inner, inner, bottleneck_factor;
  bool fixed_attractors;  ///< the number of points is the default of the class
};

Value run_head(const Scope& s, const ZoeHeadConfig& c, const ZoeBins& bins, const Places& places, Value x,
               Value conditions, const std::vector<Value>& blocks) {
  Value centres = seed_centres(places.seed, c, bins, places.seed_inner, x);
  const double range = bins.max_depth - bins.min_depth;
  if (c.normed) centres = op::div(op::sub(centres, bins.min_depth), range);
  Value embedding = project(s / "seed_projector", x, places.inner, c.bin_embedding_dim);
  const std::size_t steps = std::min({c.num_attractors.size(), blocks.size(), std::size_t{4}});
  for (std::size_t i = 0; i < steps; ++i) {
    const auto number = static_cast<std::int64_t>(i);
    const Value own = project(s / "projectors" / number, blocks[i], places.inner, c.bin_embedding_dim);
    const std::int64_t points = places.fixed_attractors ? 16 : c.num_attractors[i];
    const Value seen = op::add(own, resized(embedding, own));
    centres = attract(places.attractors / number, c, points, seen, centres);
    embedding = own;
  }
  if (c.normed) {
    const Value depths = op::add(op::mul(centres, range), bins.min_depth);
    const Value ascending = op::neg(op::topk(op::neg(depths), bins.n_bins, 1).values);
    centres = op::clamp(ascending, bins.min_depth, bins.max_depth);
  }
  const Value seen = op::concat({conditions, resized(embedding, conditions)}, 1);
  const std::int64_t bottleneck = *seen.dim(1).constant() / places.bottleneck_factor;
  const Value shares = bin_shares(places.shares, c, bins, bottleneck, seen);
  return op::sum(op::mul(shares, resized(centres, shares)), 1, true);
}

// Sines, then cosines of each place: [1, length, width], float32.
Value place_sines(Graph& graph, const Dim& length, std::int64_t width) {
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < width; i += 2)
    frequencies.push_back(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(width)));
  const auto half = static_cast<std::int64_t>(frequencies.size());
  const Value turns = graph.weight_as_is(Weight::from_doubles(DType::f32, {1, half}, frequencies));
  const Value place = op::unsqueeze(op::cast(op::arange(graph, length), DType::f32), 1);
  const Value angles = op::mul(place, turns);
  const Value sine = op::sin(angles);
  return op::unsqueeze(op::concat({sine, op::cos(angles)}, 1), 0);
}

// Whether the images belong to the second head, by the votes of all: a bool [].
Value second_head(const Scope& s, const ZoeHeadConfig& c, Value x) {
  const Scope transformer = s / "patch_transformer";
  const ModulePath at(x, transformer.path());
  Graph& graph = x.graph();
  const nn::Conv2d embed = pointwise(transformer / "embedding_convPxP", c.bottleneck_features, c.width);
  const Value patches = nn::image_to_tokens(embed(x));
  // A token of zeros comes first.
  Value tokens = op::pad(patches, {0, 1, 0}, {0, 0, 0});
  tokens = op::add(tokens, op::cast(place_sines(graph, tokens.dim(1), c.width), graph.float_dtype()));
  constexpr double kEps = 1e-5;
  const nn::EncoderLayerParameters layer = {.attention = {.hidden_size = c.width,
                                                          .heads = c.heads,
                                                          .query = "query",
                                                          .key = "key",
                                                          .value = "value",
                                                          .output = "out_proj"},
                                            .intermediate_size = c.inner,
                                            .activation = "relu",
                                            .eps = kEps,
                                            .attention_key = "self_attn",
                                            .attention_norm = "norm1",
                                            .up = "linear1",
                                            .down = "linear2",
                                            .output_norm = "norm2"};
  const Scope layers = transformer / "transformer_encoder";
  for (std::int64_t i = 0; i < 4; ++i) tokens = nn::PostNormEncoderLayer(layers / i, layer)(tokens, {});
  const Scope classifier = s / "mlp_classifier";
  const Value first = nn::first_token(tokens);
  const Value inner = op::relu(nn::Linear(classifier / "linear1", c.width, c.width)(first));
  const Value votes = op::sum(nn::Linear(classifier / "linear2", c.width, 2)(inner), 0);
  const std::vector<Value> both = op::split(votes, 0, {1, 1});
  return op::lt(both[0], both[1]);
}

}  // namespace

ZoeHeadConfig::ZoeHeadConfig(const PretrainedConfig& c)
    : bottleneck_features(c.integer("bottleneck_features")),
      bin_embedding_dim(c.integer("bin_embedding_dim")),
      num_relative_features(c.integer("num_relative_features")),
      fusion_hidden_size(c.integer("fusion_hidden_size")),
      num_attractors(c.integers("num_attractors")),
      min_temp(c.real("min_temp")),
      max_temp(c.real("max_temp")),
      mean(c.string("attractor_kind") == "mean"),
      normed(c.string("bin_centers_type") == "normed"),
      origin(c.origin()) {
  // The original's attractors use the defaults of their function.
  c.harmless({"attractor_alpha", "attractor_gamma"});
  const auto refuse = [&](ErrorCode code, const std::string& what) {
    throw ExportError(code, fmt::format("{}: {}", origin, what));
  };
  for (std::int64_t i = 0; c.has(fmt::format("bin_configurations[{}]", i)); ++i) {
    const PretrainedConfig one = c.sub(fmt::format("bin_configurations[{}]", i));
    bins.push_back(
        {one.string("name", ""), one.integer("n_bins"), one.real("min_depth"), one.real("max_depth")});
    const bool fits = bins.back().n_bins >= 2 && bins.back().n_bins <= 1 << 16 &&
                      bins.back().min_depth < bins.back().max_depth;
    if (!fits) refuse(ErrorCode::bad_config, fmt::format("bin_configurations[{}]: no range of depths", i));
  }
  if (bins.empty() || bins.size() > 2)
    refuse(ErrorCode::unsupported, fmt::format("{} bin_configurations, expected one or two", bins.size()));
  if (const std::string kind = c.string("attractor_kind"); !mean && kind != "sum")
    refuse(ErrorCode::bad_config, fmt::format("attractor_kind is '{}', known: mean, sum", kind));
  if (const std::string type = c.string("bin_centers_type"); !normed && type != "softplus")
    refuse(ErrorCode::unsupported, fmt::format("bin_centers_type is '{}', known: normed, softplus", type));
  const auto bad = [](std::int64_t n) { return n < 1 || n > 1 << 16; };
  if (bad(bottleneck_features) || bad(bin_embedding_dim) || bin_embedding_dim < 2 ||
      bad(num_relative_features) || num_attractors.empty() ||
      std::any_of(num_attractors.begin(), num_attractors.end(), bad)) {
    refuse(ErrorCode::bad_config,
           fmt::format("bottleneck_features {}, bin_embedding_dim {}, num_relative_features {} and "
                       "num_attractors [{}] must be positive",
                       bottleneck_features, bin_embedding_dim, num_relative_features,
                       fmt::join(num_attractors, ", ")));
  }
  if (bins.size() == 1) {
    c.harmless({"num_patch_transformer_layers", "patch_transformer_hidden_size",
                "patch_transformer_intermediate_size", "patch_transformer_num_attention_heads"});
    return;
  }
  layers = c.integer("num_patch_transformer_layers");
  width = c.integer("patch_transformer_hidden_size");
  inner = c.integer("patch_transformer_intermediate_size");
  heads = c.integer("patch_transformer_num_attention_heads");
  check_multiple(c, "patch_transformer_hidden_size", width, "patch_transformer_num_attention_heads", heads);
  // As they are in the original's code.
  if (layers != 4 || width != 128 || bad(inner)) {
    refuse(ErrorCode::unsupported, fmt::format("num_patch_transformer_layers is {} and "
                                               "patch_transformer_hidden_size {}, expected 4 and 128",
                                               layers, width));
  }
}

Value zoe_metric_head(const Scope& s, const ZoeHeadConfig& c, const ZoeFeatures& features) {
  const Value x = pointwise(s / "conv2", c.bottleneck_features, c.bottleneck_features)(features.bottleneck);
  if (c.bins.size() == 1) {
    const Places places{.seed = s / "seed_bin_regressor",
                        .attractors = s / "attractors",
                        .shares = s / "conditional_log_binomial",
                        .seed_inner = 256,
                        .inner = 128,
                        .bottleneck_factor = 2,
                        .fixed_attractors = false};
    const Value conditions =
        op::concat({features.conditions, resized(features.relative_depth, features.conditions)}, 1);
    return run_head(s, c, c.bins[0], places, x, conditions, features.blocks);
  }
  // The original runs one head, which depends on the images. Here both run, and one is taken.
  const std::int64_t inner = c.bin_embedding_dim / 2;
  const auto head = [&](const ZoeBins& bins) {
    const Places places{.seed = s / "seed_bin_regressors" / bins.name,
                        .attractors = s / "attractors" / bins.name,
                        .shares = s / "conditional_log_binomial" / bins.name,
                        .seed_inner = inner,
                        .inner = inner,
                        .bottleneck_factor = 4,
                        .fixed_attractors = true};
    return run_head(s, c, bins, places, x, features.conditions, features.blocks);
  };
  const Value first = head(c.bins[0]);
  const Value second = head(c.bins[1]);
  return op::where(second_head(s, c, x), second, first);
}

}  // namespace onnxport::models
