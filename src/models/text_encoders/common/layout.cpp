#include "models/text_encoders/common/layout.h"

#include <algorithm>
#include <memory>

#include "onnxport/op.h"
#include "onnxport/tensor.h"

namespace onnxport::models {

TensorType DummyBoxInputGenerator::type(std::string_view /*name*/, const DummyContext& context,
                                        const DummyShapes& shapes) const {
  return {limit_ ? context.int_dtype : context.float_dtype, {shapes.batch_size, shapes.sequence_length, 4}};
}

Tensor DummyBoxInputGenerator::generate(std::string_view name, const DummyContext& context,
                                        const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  constexpr std::int64_t kSteps = 64;  // exact in half precision
  const std::int64_t half = std::max<std::int64_t>(std::min(limit_.value_or(kSteps), kSteps) / 2, 1);
  std::vector<double> edges;
  for (std::int64_t i = 0; i < shapes.batch_size * shapes.sequence_length; ++i) {
    const std::int64_t place = i + static_cast<std::int64_t>(seed % 16);
    const std::int64_t left = 7 * place % half, upper = 5 * place % half;
    for (const std::int64_t edge : {left, upper, left + 3 * place % half, upper + 11 * place % half})
      edges.push_back(static_cast<double>(edge) / static_cast<double>(limit_ ? 1 : kSteps));
  }
  return Tensor::from_doubles(type.dtype, {shapes.batch_size, shapes.sequence_length, 4}, edges);
}

DummyInputGenerators BoxedTextOnnxConfig::dummy_input_generators() const {
  DummyInputGenerators generators = TextEncoderOnnxConfig::dummy_input_generators();
  const std::int64_t limit = config().unaccounted().integer("max_2d_position_embeddings");
  generators.push_back(std::make_shared<const DummyBoxInputGenerator>(limit));
  return generators;
}

BoxEmbeddings::BoxEmbeddings(const Scope& s, const BoxEmbeddingsParameters& p)
    : x_(s / "x_position_embeddings", p.rows, p.coordinate_width),
      y_(s / "y_position_embeddings", p.rows, p.coordinate_width),
      h_(s / "h_position_embeddings", p.rows, p.size_width),
      w_(s / "w_position_embeddings", p.rows, p.size_width),
      largest_size_(p.largest_size) {}

std::vector<Value> BoxEmbeddings::operator()(Value bbox) const {
  const auto edge = [&](std::int64_t i) { return op::select(bbox, 2, i); };
  const Value left = edge(0), upper = edge(1), right = edge(2), lower = edge(3);
  const auto extent = [&](Value end, Value begin) {
    Value size = op::sub(end, begin);
    if (!largest_size_) return size;
    return op::minimum(op::maximum(size, 0.0), static_cast<double>(*largest_size_));
  };
  const Value height = extent(lower, upper);
  const Value width = extent(right, left);
  return {x_(left), y_(upper), x_(right), y_(lower), h_(height), w_(width)};
}

}  // namespace onnxport::models
