#include "onnxport/nn/vision.h"

#include "onnxport/op.h"

namespace onnxport::nn {

Value image_to_tokens(Value image) { return op::transpose(op::flatten(image, 2, 3), 1, 2); }

Value tokens_to_image(Value tokens, const Dim& rows, const Dim& columns) {
  return op::reshape(op::transpose(tokens, 1, 2), {tokens.dim(0), tokens.dim(2), rows, columns});
}

Value pixel_shuffle(Value image, std::int64_t factor) {
  const Dim& batch = image.dim(0);
  const Dim channels = image.dim(1).floor_div(factor * factor);
  const Dim &rows = image.dim(2), &columns = image.dim(3);
  const Value apart = op::reshape(image, {batch, channels, factor, factor, rows, columns});
  const Value together = op::permute(apart, {0, 1, 4, 2, 5, 3});
  return op::reshape(together, {batch, channels, rows * factor, columns * factor});
}

GridTable::GridTable(const Weight& table, KernelSize grid, std::string mode)
    : image_(table.permute({0, 2, 1}).reshape({table.shape()[0], table.shape()[2], grid.height, grid.width})),
      mode_(std::move(mode)) {}

Value GridTable::operator()(Graph& graph, const Dim& rows, const Dim& columns) const {
  const Value stored = graph.weight(image_);
  if (stored.dim(2) == rows && stored.dim(3) == columns) return stored;
  return op::interpolate(stored, {rows, columns}, mode_);
}

namespace {

std::int64_t count_of(const std::vector<LearnedTokens>& tokens) {
  std::int64_t count = 0;
  for (const LearnedTokens& each : tokens) count += each.count;
  return count;
}

// The learned tokens and their positions, which lie in the table from `begin`. They are the same for all
// images, so their sum is taken at export.
Weight read(const Scope& s, const std::vector<LearnedTokens>& tokens, std::int64_t width,
            const Weight& positions, std::int64_t begin) {
  if (tokens.empty()) return {};
  std::vector<Weight> parts;
  for (const LearnedTokens& each : tokens) parts.push_back(s.weight(each.name, {1, each.count, width}));
  const Weight together = Weight::concat(parts, 1);
  if (!positions) return together;
  const Weight theirs = positions.slice(1, begin, begin + count_of(tokens));
  return together.cast(DType::f32)
      .add(theirs.cast(DType::f32))
      .named((s / tokens.front().name).path() + ".placed");
}

Value for_all_images(Graph& graph, const Weight& tokens, const Dim& batch) {
  const Value one = graph.weight(tokens);
  return op::expand(one, {batch, one.dim(1), one.dim(2)});
}

}  // namespace

ImageTokens::ImageTokens(const Scope& s, const ImageTokensParameters& p)
    : path_(s.path()),
      projection_(s / p.projection, p.channels, p.hidden_size, p.patch, true,
                  {.stride = {p.patch.height, p.patch.width}}) {
  const std::int64_t first = count_of(p.before), last = first + p.grid.height * p.grid.width;
  Weight table;
  if (p.positions) {
    table = s.weight("position_embeddings", {1, last + count_of(p.behind), p.hidden_size});
    positions_.emplace(table.slice(1, first, last), p.grid, p.resampling);
  }
  before_ = read(s, p.before, p.hidden_size, table, 0);
  behind_ = read(s, p.behind, p.hidden_size, table, last);
}

Value ImageTokens::operator()(Value pixel_values) const {
  const ModulePath at(pixel_values, path_);
  Graph& graph = pixel_values.graph();
  Value image = projection_(pixel_values);
  if (positions_) {
    const Value positions = (*positions_)(graph, image.dim(2), image.dim(3));
    image = op::add(image, positions);
  }
  const Dim& batch = image.dim(0);
  std::vector<Value> parts;
  if (before_) parts.push_back(for_all_images(graph, before_, batch));
  parts.push_back(image_to_tokens(image));
  if (behind_) parts.push_back(for_all_images(graph, behind_, batch));
  return parts.size() == 1 ? parts.front() : op::concat(std::move(parts), 1);
}

}  // namespace onnxport::nn
