#include "models/vision/common/swinv2.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/common/config_numbers.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kLargestWindow = 128;

// The offsets between two tokens of a window, on a logarithmic scale: [(2 * window - 1)², 2]
Weight log_offsets(std::int64_t window, std::int64_t pretrained) {
  const std::int64_t reach = pretrained > 0 ? pretrained - 1 : std::max<std::int64_t>(window - 1, 1);
  const auto scaled = [&](std::int64_t offset) {
    const double relative = 8.0 * static_cast<double>(offset) / static_cast<double>(reach);
    return std::copysign(std::log2(std::abs(relative) + 1.0) / 3.0, relative);
  };
  std::vector<double> values;
  for (std::int64_t y = 1 - window; y < window; ++y) {
    for (std::int64_t x = 1 - window; x < window; ++x) {
      values.push_back(scaled(y));
      values.push_back(scaled(x));
    }
  }
  return Weight::from_doubles(DType::f32, {(2 * window - 1) * (2 * window - 1), 2}, values);
}

// The row of such a table for each pair of tokens: [window², window²]
Weight pair_rows(std::int64_t window) {
  std::vector<std::int64_t> rows;
  const std::int64_t tokens = window * window;
  for (std::int64_t from = 0; from < tokens; ++from) {
    for (std::int64_t to = 0; to < tokens; ++to) {
      const std::int64_t down = from / window - to / window + window - 1;
      const std::int64_t right = from % window - to % window + window - 1;
      rows.push_back(down * (2 * window - 1) + right);
    }
  }
  return Weight::from_ints({tokens, tokens}, rows);
}

/// Attention in windows by the angle between queries and keys, with a bias that a small network computes
/// from the offset of two tokens.
struct CosineWindowAttention {
  std::string path, mlp_path;
  std::int64_t heads, head_dim, window, pretrained;
  nn::Linear query, key, value, output, mlp_in, mlp_out;
  Weight logit_scale;  // [heads, 1, 1]

  CosineWindowAttention(const Scope& s, const Swinv2Config& c, const Swinv2StageParameters& p,
                        std::int64_t window_size)
      : CosineWindowAttention(s / "self", s / "self" / "continuous_position_bias_mlp", s / "output" / "dense",
                              c, p, window_size) {
    path = s.path();
  }

  CosineWindowAttention(const Scope& self, const Scope& mlp, const Scope& dense, const Swinv2Config& c,
                        const Swinv2StageParameters& p, std::int64_t window_size)
      : mlp_path(mlp.path()),
        heads(p.heads),
        head_dim(p.width / p.heads),
        window(window_size),
        pretrained(p.pretrained_window),
        query(self / "query", p.width, p.width, c.qkv_bias),
        key(self / "key", p.width, p.width, false),
        value(self / "value", p.width, p.width, c.qkv_bias),
        output(dense, p.width, p.width),
        mlp_in(mlp / 0, 2, kHidden),
        mlp_out(mlp / 2, kHidden, p.heads, false),
        logit_scale(self.weight("logit_scale", {p.heads, 1, 1})) {
    for (const char* buffer : {"relative_coords_table", "relative_position_index"}) self.ignore(buffer);
  }

  // [heads, window², window²]
  Value bias(Graph& graph) const {
    const Value offsets = graph.weight(log_offsets(window, pretrained));
    const ModulePath at(offsets, mlp_path);
    const Value table = mlp_out(op::relu(mlp_in(offsets)));
    const Value pairs = op::embedding(table, graph.weight(pair_rows(window)));
    return op::mul(op::sigmoid(op::permute(pairs, {2, 0, 1})), 16.0);
  }

  Value operator()(Value x, const nn::WindowPartition& windows) const {
    const ModulePath at(x, path);
    const Value tokens = windows.split(x);
    const auto heads_of = [&](const nn::Linear& projection) {
      const Value spread = op::reshape(
          projection(tokens), {windows.batch(), windows.windows(), window * window, heads, head_dim});
      return op::permute(spread, {0, 1, 3, 2, 4});
    };
    const Value q = op::normalize(heads_of(query), -1);
    const Value k = op::normalize(heads_of(key), -1);
    const Value v = heads_of(value);
    const Value scale = op::exp(op::minimum(x.graph().weight(logit_scale), std::log(100.0)));
    const Value scaled = op::mul(q, scale);
    const Value products = op::matmul(scaled, op::transpose(k, -2, -1));
    Value scores = op::add(products, bias(x.graph()));
    // The original adds the mask twice.
    if (windows.mask()) scores = op::add(scores, op::mul(windows.mask(), 2.0));
    const Value context = op::matmul(op::softmax(scores, -1), v);
    const Value merged = op::reshape(op::permute(context, {0, 1, 3, 2, 4}), tokens.shape());
    return output(windows.join(merged));
  }

 private:
  static constexpr std::int64_t kHidden = 512;
};

}  // namespace

Swinv2Config::Swinv2Config(const PretrainedConfig& c)
    : num_channels(c.integer("num_channels")),
      embed_dim(moderate(c, "embed_dim")),
      window_size(moderate(c, "window_size")),
      grid(0),
      patch_size(per_stage(c, "patch_size", 1)),
      depths(per_stage(c, "depths", stage_count(c, "depths"), 0)),
      num_heads(per_stage(c, "num_heads", std::ssize(depths))),
      mlp_ratio(c.real("mlp_ratio")),
      layer_norm_eps(c.real("layer_norm_eps")),
      qkv_bias(c.flag("qkv_bias")),
      hidden_act(c.string("hidden_act")) {
  // These follow from depths and embed_dim.
  c.harmless({"hidden_size", "num_layers", "num_hidden_layers"});
  if (patch_size.size() == 1) patch_size.push_back(patch_size[0]);
  grid = per_stage(c, "image_size", 1).front() / patch_size[0];
  if (patch_size.size() != 2 || grid < 1 || window_size > kLargestWindow ||
      !is_positive_below(mlp_ratio, 1000)) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: patch_size [{}] and image_size give {} rows of patches, window_size is {} and "
                    "mlp_ratio {}, expected at least 1 row, at most {} and a positive number",
                    c.origin(), fmt::join(patch_size, ", "), grid, window_size, mlp_ratio, kLargestWindow));
  }
  // The original adds a table with one row more than there are tokens, which raises an error.
  if (c.flag("use_absolute_embeddings")) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: use_absolute_embeddings is true, which the original class cannot compute; "
                    "expected false",
                    c.origin()));
  }
}

Value run_swinv2_layers(Value x, const Scope& s, const Swinv2Config& c, const Swinv2StageParameters& p,
                        std::int64_t depth, const nn::TokenGrid& grid) {
  Graph& graph = x.graph();
  const Swinv2Windows sizes(c, p.grid);
  const nn::WindowPartition straight(graph, grid, {.window = sizes.size});
  const nn::WindowPartition shifted(graph, grid, {.window = sizes.size, .shift = sizes.shift});
  const auto inner = static_cast<std::int64_t>(c.mlp_ratio * static_cast<double>(p.width));
  for (std::int64_t i = 0; i < depth; ++i) {
    const Scope layer = s / i;
    const ModulePath at(x, layer.path());
    const CosineWindowAttention attention(layer / "attention", c, p, sizes.size);
    const nn::LayerNorm before(layer / "layernorm_before", p.width, c.layer_norm_eps);
    const nn::LayerNorm after(layer / "layernorm_after", p.width, c.layer_norm_eps);
    const nn::Linear up(layer / "intermediate" / "dense", p.width, inner);
    const nn::Linear down(layer / "output" / "dense", inner, p.width);
    const Value attended = before(attention(x, i % 2 == 0 ? straight : shifted));
    const Value middle = op::add(x, attended);
    const Value fed = after(down(nn::Activation(c.hidden_act)(up(middle))));
    x = op::add(middle, fed);
  }
  return x;
}

}  // namespace onnxport::models
