#include "validate/row_order.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

#include "onnxport/ops.h"

namespace onnxport::validate {
namespace {

// The values of one output, by rows.
struct Rows {
  std::vector<double> got, reference;
  std::size_t width;
  double tolerance;
};

// The largest difference of two rows relative to the tolerance, or nothing if one is over it.
std::optional<double> distance(const std::vector<Rows>& outputs, std::size_t got, std::size_t reference) {
  double largest = 0;
  for (const Rows& rows : outputs) {
    for (std::size_t i = 0; i < rows.width; ++i) {
      const double difference =
          std::abs(rows.got[got * rows.width + i] - rows.reference[reference * rows.width + i]);
      if (!(difference <= rows.tolerance)) return {};
      largest = std::max(largest, rows.tolerance > 0 ? difference / rows.tolerance : 0);
    }
  }
  return largest;
}

// The largest relative difference of all rows of a batch, each with a row of its own.
std::optional<double> match(const std::vector<Rows>& outputs, std::size_t first, std::size_t count) {
  std::vector<bool> used(count, false);
  double largest = 0;
  for (std::size_t row = 0; row < count; ++row) {
    // Most rows stay in place, and the others move to a neighbour's.
    std::optional<double> best;
    for (std::size_t step = 0; step < 2 * count && !best; ++step) {
      const std::size_t away = (step + 1) / 2;
      const bool below = step % 2 == 1;
      if (below ? away > row : row + away >= count) continue;
      const std::size_t other = below ? row - away : row + away;
      if (used[other]) continue;
      best = distance(outputs, first + other, first + row);
      if (best) used[other] = true;
    }
    if (!best) return {};
    largest = std::max(largest, *best);
  }
  return largest;
}

}  // namespace

std::set<std::int64_t> ranked_extents(const Graph& graph) {
  std::set<std::int64_t> extents;
  for (const Node& node : graph.nodes())
    if (node.op == Op::topk && node.attrs.integer("k") > 1) extents.insert(node.attrs.integer("k"));
  return extents;
}

void match_rows(std::vector<RankedOutput>& outputs) {
  std::vector<Rows> values;
  for (const RankedOutput& one : outputs) {
    const auto rows = static_cast<std::size_t>(one.reference.shape[0] * one.reference.shape[1]);
    if (rows == 0) return;
    std::vector<double> reference = one.reference.to_doubles();
    const std::size_t width = reference.size() / rows;
    values.push_back({one.got.to_doubles(), std::move(reference), width, one.comparison.tolerance});
  }
  const auto batch = static_cast<std::size_t>(outputs.front().reference.shape[0]);
  const auto count = static_cast<std::size_t>(outputs.front().reference.shape[1]);
  double largest = 0;
  for (std::size_t b = 0; b < batch; ++b) {
    const std::optional<double> of_batch = match(values, b * count, count);
    if (!of_batch) return;
    largest = std::max(largest, *of_batch);
  }
  for (RankedOutput& one : outputs) {
    one.comparison.passed = true;
    one.comparison.max_difference = largest * one.comparison.tolerance;
  }
}

}  // namespace onnxport::validate
