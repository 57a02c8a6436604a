#include "onnxport/nn/relative_attention.h"

#include <cmath>
#include <vector>

#include "onnxport/nn/attention.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

// [n, heads * d] -> [heads, d, n]
Value by_head(Value rows, std::int64_t heads) {
  const Value spread = op::reshape(rows, {rows.dim(0), heads, rows.dim(1).constant().value() / heads});
  return op::permute(spread, {1, 2, 0});
}

}  // namespace

Value sinusoids(Value positions, std::int64_t width, DType dtype) {
  Graph& graph = positions.graph();
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < width; i += 2)
    frequencies.push_back(1 / std::pow(10000.0, static_cast<double>(i) / static_cast<double>(width)));
  const auto count = static_cast<std::int64_t>(frequencies.size());
  const Value frequency = graph.weight_as_is(Weight::from_doubles(DType::f32, {count}, frequencies));
  const Value angles = op::mul(op::unsqueeze(op::cast(positions, DType::f32), 1), frequency);
  const Value sines = op::sin(angles);
  return op::cast(op::concat({sines, op::cos(angles)}, 1), dtype);
}

// Column c of row i belongs to the distance S - c, thus to key i - S + c. In row-major order, element (i, j)
// of the result is at i (2 S - 1) + j + S, so a reshape selects the columns without any index.
Value distance_scores(Value query, Value distances, std::int64_t heads, const Dim& length) {
  const bool shared = heads > 1 && !(distances.dim(1) == query.dim(2));
  const Value columns = shared ? op::transpose(distances, 0, 1) : by_head(distances, heads);
  const Value scores = op::matmul(split_heads(query, heads), columns);
  const Value flat = op::flatten(scores, 2, 3);
  const Value cut = op::slice(flat, 2, length, flat.dim(2));
  const Value rows = op::reshape(cut, {scores.dim(0), heads, length, length * 2 - 1});
  return op::slice(rows, 3, 0, length);
}

Value type_scores(Value query, Value types, Value other, std::int64_t heads) {
  const Value of_types = by_head(types, heads);
  const Value scores = op::matmul(split_heads(query, heads), of_types);  // [B, heads, S, 2]
  const Value same = op::slice(scores, 3, 0, 1);
  const Value difference = op::sub(op::slice(scores, 3, 1, 2), same);
  return op::add(same, op::mul(difference, other));
}

}  // namespace onnxport::nn
