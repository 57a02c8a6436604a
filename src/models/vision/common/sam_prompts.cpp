#include <numbers>

#include "models/vision/common/sam.h"

namespace onnxport::models {
namespace {

// Random frequencies of x and y, in radians: [2, features].
Weight frequencies(const Scope& root, const SamVisionConfig& c) {
  const double turn = 2 * std::numbers::pi;
  return (root / "shared_image_embedding")
      .weight("positional_embedding", {2, c.num_pos_feats})
      .cast(DType::f32)
      .mul(Weight::from_doubles(DType::f32, {}, {&turn, 1}));
}

}  // namespace

Weight sam_image_positions(const Scope& root, const SamVisionConfig& c) {
  const std::int64_t grid = c.grid(), features = c.num_pos_feats;
  std::vector<double> centres;
  for (std::int64_t i = 0; i < grid; ++i)
    centres.push_back(2 * (static_cast<double>(i) + 0.5) / static_cast<double>(grid) - 1);
  const Weight both = frequencies(root, c);
  const auto along = [&](std::int64_t part, const std::vector<std::int64_t>& shape) {
    const Weight frequency = both.slice(0, part, part + 1).reshape({features, 1, 1});
    return Weight::from_doubles(DType::f32, shape, centres).mul(frequency);
  };
  const Weight angles = along(0, {1, 1, grid}).add(along(1, {1, grid, 1}));
  const Weight parts[] = {angles.sin(), angles.cos()};
  return Weight::concat(parts, 0).reshape({1, 2 * features, grid, grid}).named("image_positional_embeddings");
}

Value embed_sam_points(const Scope& root, const SamVisionConfig& c, Value points, Value labels) {
  const Scope s = root / "prompt_encoder";
  const ModulePath at(points, s.path());
  Graph& graph = points.graph();
  const std::int64_t width = c.output_channels;
  const auto embedding = [&](const Scope& of) { return graph.weight(of.weight("weight", {1, width})); };
  const Value centres = op::add(op::cast(points, DType::f32), 0.5);  // angles are float32 in every dtype
  const Value scaled = op::sub(op::mul(centres, 2 / static_cast<double>(c.image_size)), 1.0);
  const Value angles = op::matmul(scaled, graph.weight_as_is(frequencies(root, c)));
  const Value placed = op::cast(op::concat({op::sin(angles), op::cos(angles)}, 3), points.dtype());

  const Value label = op::unsqueeze(labels, 3);
  const Value background = embedding(s / "point_embed" / 0);
  const Value foreground = embedding(s / "point_embed" / 1);
  const Value not_a_point = embedding(s / "not_a_point_embed");
  const Value zero = op::scalar(graph, 0, points.dtype());
  Value kind = op::where(op::eq(label, 0.0), background, zero);
  kind = op::where(op::eq(label, 1.0), foreground, kind);
  Value embedded = op::add(placed, kind);
  embedded = op::where(op::eq(label, -10.0), zero, embedded);  // the filler of the processor
  embedded = op::where(op::eq(label, -1.0), not_a_point, embedded);
  const Value last = op::expand(not_a_point, {points.dim(0), points.dim(1), 1, width});
  return op::concat({embedded, last}, 2);
}

}  // namespace onnxport::models
