#include "onnxport/nn/window_attention.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

// The value that the original adds to the score of tokens that only the shift brings together. It is finite,
// but enough.
constexpr double kFar = -100.0;

// Beyond every matrix.
constexpr std::int64_t kNoRow = std::int64_t{1} << 40;

// first, first + 1, …, n - 1, 0, 1, …, first - 1, or its first `count`.
Value rolled(Graph& graph, const Dim& n, const Dim& first, const Dim& count) {
  if (first == Dim(0) || first == n) return op::arange(graph, count);
  // A grid that is much smaller than a window may have fewer rows than are ahead.
  const Dim most = n - first;
  const Dim left = most.is_constant() ? count.min(*most.constant()) : most;
  const Value ahead = op::arange(graph, left, first);
  const Value behind = op::arange(graph, count - left);
  return op::concat({ahead, behind}, 0);
}

// The positions of the tokens of a line in the order of windows: i % window * inside + i / window * windows,
// where `inside` is the step within a window and `windows` the step between windows.
Value places(Value i, std::int64_t window, const Dim& inside, const Dim& windows) {
  Graph& graph = i.graph();
  const Value number = op::div(i, static_cast<double>(window));
  const Value steps = inside == Dim(1) ? i : op::mul(i, op::size(graph, inside));
  const Value jumps = op::mul(number, op::size(graph, windows - window * inside));
  return op::add(steps, jumps);
}

// [(2 * window - 1)², heads] -> [heads, window², window²]: the bias for the offset from each token to each
// other one.
Weight relative_position_bias(const Weight& table, std::int64_t window) {
  std::vector<std::int64_t> indices;
  for (std::int64_t from = 0; from < window * window; ++from) {
    for (std::int64_t to = 0; to < window * window; ++to) {
      const std::int64_t down = from / window - to / window + window - 1;
      const std::int64_t right = from % window - to % window + window - 1;
      indices.push_back(down * (2 * window - 1) + right);
    }
  }
  const std::int64_t tokens = window * window;
  return table.take(Weight::from_ints({tokens, tokens}, indices))
      .permute({2, 0, 1})
      .named(table.name() + ".by_token");
}

}  // namespace

WindowPartition::WindowPartition(Graph& graph, const TokenGrid& grid, const WindowParameters& p)
    : grid_(grid),
      window_(p.window),
      down_((grid.height + (p.window - 1)).floor_div(p.window)),
      across_((grid.width + (p.window - 1)).floor_div(p.window)) {
  const Dim height = down_ * window_, width = across_ * window_;
  const bool padded = height != grid.height || width != grid.width;
  // 0 windows fit into a grid that is too small. Its padding then refers to a row that does not exist.
  const Dim fits = grid.height.floor_div(window_).min(1) * grid.width.floor_div(window_).min(1);
  if (!p.smaller_grid && fits == Dim(0)) {
    throw ExportError(ErrorCode::shape,
                      fmt::format("a grid of {} by {} tokens is smaller than a window of {} by {}",
                                  grid.height.str(), grid.width.str(), window_, window_));
  }
  const Dim filler = p.smaller_grid ? Dim(0) : Dim(kNoRow) - Dim(kNoRow) * fits;

  const Value y = rolled(graph, height, p.shift, height);
  const Value x = rolled(graph, width, p.shift, width);
  split_ = detail::select_rows(y, x, grid, window_, padded, filler);

  const Value from_top = rolled(graph, height, height - p.shift, grid.height);
  const Value from_left = rolled(graph, width, width - p.shift, grid.width);
  const Value lines = op::unsqueeze(places(from_top, window_, window_, width * window_), 1);
  const Value columns = places(from_left, window_, 1, window_ * window_);
  const Value inverse = op::reshape(op::add(lines, columns), {grid.tokens()});
  join_ = {detail::for_all_images(inverse, grid.batch, height * width)};

  if (p.shift == Dim(0)) return;
  // In windows at an edge, the tokens beyond the edge come from the opposite one, with coordinates below the
  // shift. The four combinations give four regions.
  const Value shift = op::size(graph, p.shift);
  const Value wrapped_y = op::cast(op::lt(y, shift), graph.float_dtype());
  const Value wrapped_x = op::cast(op::lt(x, shift), graph.float_dtype());
  const Value vertical = op::reshape(op::mul(wrapped_y, 2.0), {down_, 1, window_, 1});
  const Value horizontal = op::reshape(wrapped_x, {1, across_, 1, window_});
  const Dim tokens = window_ * window_;
  const Value regions = op::add(vertical, horizontal);
  const Value of_queries = op::reshape(regions, {windows(), 1, tokens, 1});
  const Value of_keys = op::reshape(regions, {windows(), 1, 1, tokens});
  const Value together = op::eq(of_queries, of_keys);
  const Value near = op::scalar(graph, 0.0, graph.float_dtype());
  const Value far = op::scalar(graph, kFar, graph.float_dtype());
  mask_ = op::where(together, near, far);
}

WindowAttention::WindowAttention(const Scope& s, const WindowAttentionParameters& p)
    : WindowAttention(
          s.path(),
          {Linear(s / "self" / "query", p.hidden_size, p.hidden_size, p.qkv_bias),
           Linear(s / "self" / "key", p.hidden_size, p.hidden_size, p.qkv_bias),
           Linear(s / "self" / "value", p.hidden_size, p.hidden_size, p.qkv_bias)},
          Linear(s / "output" / "dense", p.hidden_size, p.hidden_size),
          (s / "self")
              .weight("relative_position_bias_table", {(2 * p.window - 1) * (2 * p.window - 1), p.heads}),
          p) {
  (s / "self").ignore("relative_position_index");  // a stored buffer
}

WindowAttention::WindowAttention(std::string path, std::vector<Linear> projections, Linear output,
                                 const Weight& table, const WindowAttentionParameters& p)
    : path_(std::move(path)),
      heads_(p.heads),
      head_dim_(p.hidden_size / p.heads),
      projections_(std::move(projections)),
      output_(std::move(output)),
      bias_(relative_position_bias(table, p.window)) {}

Value WindowAttention::operator()(Value x, const WindowPartition& windows) const {
  const ModulePath at(x, path_);
  const Value tokens = windows.split(x);
  const Dim per_window = windows.window() * windows.window();
  std::vector<Value> projected;
  for (const Linear& projection : projections_) projected.push_back(projection(tokens));
  if (projected.size() == 1) projected = op::chunk(projected.front(), -1, 3);
  const auto heads_of = [&](Value of) {
    const Value spread = op::reshape(of, {windows.batch(), windows.windows(), per_window, heads_, head_dim_});
    return op::permute(spread, {0, 1, 3, 2, 4});
  };
  const Value query = heads_of(projected[0]);
  const Value key = heads_of(projected[1]);
  const Value value = heads_of(projected[2]);

  // Attention is written out here, because the sum of a mask per window and a bias per head would be as large
  // as the scores.
  const Value scaled = op::mul(query, 1.0 / std::sqrt(static_cast<double>(head_dim_)));
  const Value key_transposed = op::transpose(key, -2, -1);
  const Value products = op::matmul(scaled, key_transposed);
  Value scores = op::add(products, x.graph().weight(bias_));
  if (windows.mask()) scores = op::add(scores, windows.mask());
  const Value context = op::matmul(op::softmax(scores, -1), value);
  const Value merged = op::reshape(op::permute(context, {0, 1, 3, 2, 4}), tokens.shape());
  return output_(windows.join(merged));
}

PatchMerging::PatchMerging(const Scope& s, std::int64_t width, MergeNorm norm)
    : path_(s.path()), width_(width), place_(norm) {
  // The original traverses a patch by columns.
  const auto by_rows = [&](const Weight& weight, std::int64_t rows, const std::vector<std::int64_t>& shape) {
    return weight.reshape({rows, 2, 2, width})
        .permute({0, 2, 1, 3})
        .reshape(shape)
        .named(weight.name() + ".by_rows");
  };
  const std::int64_t joined = 4 * width;
  const std::int64_t normed = norm == MergeNorm::before ? joined : 2 * width;
  norm_weight_ = (s / "norm").weight("weight", {normed});
  norm_bias_ = (s / "norm").weight("bias", {normed});
  if (norm == MergeNorm::before) {
    norm_weight_ = by_rows(norm_weight_, 1, {joined});
    norm_bias_ = by_rows(norm_bias_, 1, {joined});
  }
  reduction_ =
      by_rows((s / "reduction").weight("weight", {2 * width, joined}), 2 * width, {2 * width, joined});
}

TokenGrid PatchMerging::merged(const TokenGrid& grid) {
  return {grid.batch, (grid.height + 1).floor_div(2), (grid.width + 1).floor_div(2)};
}

Value PatchMerging::operator()(Value x, const TokenGrid& grid) const {
  const ModulePath at(x, path_);
  Graph& graph = x.graph();
  const Value tokens = patches_of(graph, grid, 2, PatchEdge::fill)(x);
  const Value joined = op::reshape(tokens, {merged(grid).rows(), 4 * width_});
  const auto norm = [&](Value y) {
    const Value weight = graph.weight(norm_weight_);
    const Value bias = graph.weight(norm_bias_);
    return op::layer_norm(y, weight, bias, 1e-5);
  };
  const auto reduce = [&](Value y) { return op::linear(y, graph.weight(reduction_)); };
  return place_ == MergeNorm::before ? reduce(norm(joined)) : norm(reduce(joined));
}

}  // namespace onnxport::nn
