/// Outputs whose rows are ranked by scores that the graph computes, such as the queries of a detector.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/tensor.h"
#include "onnxport/validate.h"

namespace onnxport::validate {

/// How many elements the ranking ops of a graph choose.
std::set<std::int64_t> ranked_extents(const Graph& graph);

/// An output [B, N, …], its reference, and their comparison.
struct RankedOutput {
  const Tensor& got;
  const Tensor& reference;
  OutputComparison& comparison;
};

/// Scores that differ by less than rounding have either order, and with them the rows of all outputs of one
/// extent N. If every reference row has a row of its own that agrees in all of these outputs, each within its
/// tolerance, they pass, and their differences become those of the matched rows. Values that are not finite
/// match none.
void match_rows(std::vector<RankedOutput>& outputs);

}  // namespace onnxport::validate
