#include "onnxport/nn/deformable_attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "onnxport/error.h"
#include "onnxport/index_ops.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

constexpr std::int64_t kMostPoints = 1 << 20;

std::int64_t total(const std::vector<std::int64_t>& points) {
  return std::accumulate(points.begin(), points.end(), std::int64_t{0});
}

// [B * heads, d, rows, columns] at places [B * heads, Q, P, 2] -> [B * heads,
// d, Q, P]
Value read_nearest(Value image, Value places) {
  Graph& graph = image.graph();
  const auto index = [&](std::int64_t axis, const Dim& extent) {
    const Value size = op::cast(op::size(graph, extent), DType::f32);
    const Value scaled = op::add(op::mul(op::select(places, 3, axis), size), 0.5);
    const Value inside = op::minimum(op::maximum(scaled, 0.0), size);
    const Value last = op::size(graph, extent - 1);
    return op::minimum(op::cast(inside, DType::i64), last);
  };
  const Dim &images = image.dim(0), &d = image.dim(1), &queries = places.dim(1), &points = places.dim(2);
  const Value column = index(0, image.dim(3));
  const Value width = op::size(graph, image.dim(3));
  const Value lines = op::mul(index(1, image.dim(2)), width);
  const Value pixels = op::reshape(op::add(lines, column), {images, 1, queries * points});
  const Value flat = op::flatten(image, 2, 3);
  const Value read = op::gather(flat, 2, op::expand(pixels, {images, d, queries * points}));
  return op::reshape(read, {images, d, queries, points});
}

}  // namespace

std::vector<MapSize> sizes_of(const std::vector<Value>& images) {
  std::vector<MapSize> sizes;
  for (const Value& image : images) sizes.push_back({image.dim(2), image.dim(3)});
  return sizes;
}

Value sum_at_places(Value value, const std::vector<MapSize>& sizes, const std::vector<std::int64_t>& points,
                    Value places, Value weights, PlaceReading reading) {
  const Dim &batch = value.dim(0), &queries = places.dim(1), &heads = places.dim(2), &width = value.dim(2);
  const Dim all = batch * heads, d = *width.exact_div(heads);
  const bool bilinear = reading == PlaceReading::bilinear;
  if (bilinear) places = op::sub(op::mul(places, 2.0), 1.0);
  const Value by_head = op::reshape(op::transpose(places, 1, 2), {all, queries, places.dim(3), 2});
  const std::vector<Value> of_maps = op::split(by_head, 2, points);
  const Value columns = op::transpose(value, 1, 2);  // [B, width, all pixels]
  std::vector<Value> read;
  Dim begin = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const Dim end = begin + sizes[i].rows * sizes[i].columns;
    const Value pixels = op::slice(columns, 2, begin, end);
    const Value image = op::reshape(pixels, {all, d, sizes[i].rows, sizes[i].columns});
    read.push_back(bilinear ? op::grid_sample(image, of_maps[i]) : read_nearest(image, of_maps[i]));
    begin = end;
  }
  const Value values = op::concat(read, 3);
  const Value shares = op::reshape(op::transpose(weights, 1, 2), {all, 1, queries, weights.dim(3)});
  const Value sums = op::sum(op::mul(values, shares), 3);
  return op::transpose(op::reshape(sums, {batch, width, queries}), 1, 2);
}

DeformableSampling::DeformableSampling(const Scope& s, const DeformableParameters& p)
    : path_(s.path()),
      parameters_([&] {
        const bool some =
            std::all_of(p.points.begin(), p.points.end(), [](auto n) { return n > 0 && n <= kMostPoints; });
        if (p.heads < 1 || p.width < 1 || p.width % p.heads != 0 || p.points.empty() || !some) {
          throw ExportError(ErrorCode::bad_config,
                            fmt::format("{}: width {}, {} heads, points [{}]: expected a width that "
                                        "is a "
                                        "multiple of the heads, and positive numbers of points",
                                        s.path(), p.width, p.heads, fmt::join(p.points, ", ")));
        }
        return p;
      }()),
      offsets_(s / "sampling_offsets", p.width, 2 * p.heads * total(p.points)),
      weights_(s / "attention_weights", p.width, p.heads * total(p.points)) {}

Value DeformableSampling::operator()(Value query, Value reference, Value value,
                                     const std::vector<MapSize>& sizes) const {
  const ModulePath at(query, path_);
  Graph& graph = query.graph();
  const DeformableParameters& p = parameters_;
  const std::int64_t all = total(p.points);
  const Dim &batch = query.dim(0), &queries = query.dim(1);

  // For each point, [..., N, 2 or 4], or one for all.
  reference = op::cast(reference, DType::f32);
  const Shape spread = {reference.dim(0), reference.dim(1), 1, 1, reference.dim(3)};
  Value from = op::reshape(op::slice(reference, 2, 0, 1), spread);
  if (reference.dim(2) != Dim(1)) {
    std::vector<Value> of_points;
    for (std::size_t i = 0; i < p.points.size(); ++i) {
      const auto map = static_cast<std::int64_t>(i);
      const Value one = op::reshape(op::slice(reference, 2, map, map + 1), spread);
      of_points.insert(of_points.end(), static_cast<std::size_t>(p.points[i]), one);
    }
    from = op::concat(of_points, 3);
  }

  const Value offsets = op::reshape(op::cast(offsets_(query), DType::f32), {batch, queries, p.heads, all, 2});
  Value places;
  if (reference.dim(3) == Dim(2)) {
    std::vector<Value> pixels;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const Value columns = op::reshape(op::size(graph, sizes[i].columns), {1, 1});
      const Value rows = op::reshape(op::size(graph, sizes[i].rows), {1, 1});
      const Value size = op::concat({columns, rows}, 1);
      pixels.insert(pixels.end(), static_cast<std::size_t>(p.points[i]), size);
    }
    places = op::div(offsets, op::cast(op::concat(pixels, 0), DType::f32));
  } else {
    std::vector<double> scales;
    for (const std::int64_t n : p.points)
      scales.insert(scales.end(), static_cast<std::size_t>(n), p.offset_scale / static_cast<double>(n));
    const Value scale = graph.weight_as_is(Weight::from_doubles(DType::f32, {all, 1}, scales));
    const Value part = op::mul(offsets, scale);
    places = op::mul(part, op::slice(from, 4, 2, 4));
  }
  places = op::add(op::slice(from, 4, 0, 2), places);
  const Value scores = op::reshape(weights_(query), {batch, queries, p.heads, all});
  return sum_at_places(value, sizes, p.points, places, op::softmax(scores, -1), p.reading);
}

DeformableAttention::DeformableAttention(const Scope& s, const DeformableParameters& p)
    : path_(s.path()),
      sampling_(s, p),
      value_proj_(s / "value_proj", p.width, p.width),
      output_proj_(s / "output_proj", p.width, p.width) {}

Value DeformableAttention::operator()(Value query, Value reference, Value memory,
                                      const std::vector<MapSize>& sizes, Value seen) const {
  const ModulePath at(query, path_);
  Value value = value_proj_(memory);
  if (seen) value = op::masked_fill(value, op::unsqueeze(op::logical_not(seen), 2), 0);
  return output_proj_(sampling_(query, reference, value, sizes));
}

}  // namespace onnxport::nn
