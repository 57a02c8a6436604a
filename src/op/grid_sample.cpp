// Sampling of images at places.
#include <utility>
#include <vector>

#include "onnxport/index_ops.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

Value grid_sample(Value x, Value grid, std::string_view mode, std::string_view padding_mode,
                  bool align_corners) {
  return detail::make(x.graph(), Op::grid_sample, {x, grid},
                      {{"mode", std::string(mode)},
                       {"padding_mode", std::string(padding_mode)},
                       {"align_corners", align_corners}})
      .out();
}

namespace detail {

Types infer_grid_sample(const Node& node) {
  const TensorType& x = operand(node, 0);
  const TensorType& grid = operand(node, 1);
  require_float(node, x);
  require_float(node, grid);
  const auto& mode = node.attrs.get<std::string>("mode");
  if (mode != "bilinear" && mode != "nearest") reject(node, "mode '{}', expected bilinear or nearest", mode);
  const auto& padding = node.attrs.get<std::string>("padding_mode");
  if (padding != "zeros" && padding != "border")
    reject(node, "padding_mode '{}', expected zeros or border", padding);
  if (x.shape.size() != 4 || grid.shape.size() != 4 || x.shape[0] != grid.shape[0] || grid.shape[3] != Dim(2))
    reject(node, "{} at {}, expected [N, C, H, W] and [N, H', W', 2]", to_string(x.shape),
           to_string(grid.shape));
  return {{x.dtype, {x.shape[0], x.shape[1], grid.shape[1], grid.shape[2]}}};
}

namespace {

// The places along one axis of an image, and how they read its elements.
struct Axis {
  const Node& node;
  Graph& graph;
  Dim extent;
  DType dtype;  // of places

  bool border() const { return node.attrs.get<std::string>("padding_mode") == "border"; }
  Value size() const { return cast(op::size(graph, extent), dtype); }

  // From -1 … 1 to the numbers of elements. What is further outside than one
  // element is moved to there, where it has the same result.
  Value places(Value grid) const {
    const Value from_zero = add(grid, 1.0);
    Value at;
    if (node.attrs.flag("align_corners")) {
      const Value last = sub(size(), 1.0);
      at = mul(div(from_zero, 2.0), last);
    } else {
      const Value edges = mul(from_zero, size());
      at = div(sub(edges, 1.0), 2.0);
    }
    at = maximum(at, border() ? 0.0 : -1.0);
    return minimum(at, border() ? sub(size(), 1.0) : size());
  }

  // An element, int64, and its weight: that of the place, or 0 outside of the
  // image.
  std::pair<Value, Value> element(Value number, Value weight) const {
    const Value inside = maximum(number, 0.0);
    const Value index = cast(minimum(inside, sub(size(), 1.0)), DType::i64);
    if (border()) return {index, weight};
    const Value held = cast(eq(cast(number, DType::i64), index), dtype);
    return {index, weight ? mul(weight, held) : held};
  }

  // The elements that a place reads, with their weights, which are absent if
  // they are 1.
  std::vector<std::pair<Value, Value>> elements(Value grid) const {
    const Value at = places(grid);
    const Value nearest = round(at);
    if (node.attrs.get<std::string>("mode") == "nearest") return {element(nearest, {})};
    const Value above = cast(gt(nearest, at), dtype);
    const Value low = sub(nearest, above);
    const Value fraction = sub(at, low);
    const Value rest = sub(1.0, fraction);
    const auto first = element(low, rest);
    return {first, element(add(low, 1.0), fraction)};
  }
};

}  // namespace

// Gathers the pixels as rows of a table. In half precision, too, places need
// float32.
std::vector<Value> decompose_grid_sample(const Node& node) {
  const Value x = node.inputs[0];
  Graph& graph = x.graph();
  const DType dtype = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Shape &image = x.shape(), &result = node.outputs[0].shape;
  const Shape places = {result[0], result[2], result[3]};
  const Value grid = cast(node.inputs[1], dtype);
  const Value channels_last = permute(cast(x, dtype), {0, 2, 3, 1});
  const Value table = reshape(channels_last, {image[0] * image[2] * image[3], image[1]});
  const Value images = reshape(arange(graph, image[0]), {image[0], 1, 1});
  const Value first_rows = mul(images, size(graph, image[2]));
  const auto columns = Axis{node, graph, image[3], dtype}.elements(select(grid, 3, 0));
  const auto rows = Axis{node, graph, image[2], dtype}.elements(select(grid, 3, 1));
  Value sum;
  for (const auto& [row, row_weight] : rows) {
    const Value width = size(graph, image[3]);
    const Value lines = mul(add(first_rows, row), width);
    for (const auto& [column, column_weight] : columns) {
      Value read = embedding(table, reshape(add(lines, column), places));
      if (row_weight) read = mul(read, unsqueeze(mul(row_weight, column_weight), 3));
      sum = sum ? add(sum, read) : read;
    }
  }
  return {cast(permute(sum, {0, 3, 1, 2}), x.dtype())};
}

}  // namespace detail
}  // namespace onnxport::op
