#include "models/vision/common/detector.h"

#include <algorithm>

#include "onnxport/nn/basic.h"

namespace onnxport::models {

DummyInputGenerators DetectorOnnxConfig::dummy_input_generators() const {
  DummyInputGenerators generators = VisionOnnxConfig::dummy_input_generators();
  generators.push_back(std::make_shared<DummyPixelMaskGenerator>());
  return generators;
}

void DetectorOnnxConfig::apply(const InterfaceOptions& interface_options, AxesByName& inputs,
                               AxesByName& outputs) const {
  InterfaceOptions others = interface_options;
  const bool has_one = std::any_of(inputs.begin(), inputs.end(),
                                   [](const auto& input) { return input.first == "pixel_mask"; });
  // The originals take a mask of any size and shrink it to that of their features.
  if (!has_one && others.erase(InterfaceOption::pixel_mask) > 0)
    inputs.emplace_back("pixel_mask", Axes{{0, "batch_size"}, {1, "mask_height"}, {2, "mask_width"}});
  VisionOnnxConfig::apply(others, inputs, outputs);
}

AxesByName FixedQueriesOnnxConfig::outputs() const {
  return {{"logits", {{0, "batch_size"}}}, {"pred_boxes", {{0, "batch_size"}}}};
}

TensorType DummyPixelMaskGenerator::type(std::string_view /*name*/, const DummyContext& context,
                                         const DummyShapes& shapes) const {
  const TensorType image = DummyVisionInputGenerator::type("pixel_values", context, shapes);
  return {context.int_dtype, {image.shape[0], image.shape[2], image.shape[3]}};
}

Tensor DummyPixelMaskGenerator::generate(std::string_view name, const DummyContext& context,
                                         const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  const std::vector<std::int64_t> shape = static_shape(type.shape).value();
  std::vector<std::int64_t> mask;
  for (std::int64_t image = 0; image < shape[0]; ++image) {
    const auto step = (image + static_cast<std::int64_t>(seed % 4)) % 4;
    const std::int64_t rows = shape[1] - shape[1] * step / 8, columns = shape[2] - shape[2] * step / 5;
    for (std::int64_t row = 0; row < shape[1]; ++row) {
      for (std::int64_t column = 0; column < shape[2]; ++column)
        mask.push_back(row < rows && column < columns ? 1 : 0);
    }
  }
  return Tensor::from_ints(type.dtype, shape, mask);
}

namespace {

// Row of `from` for each of `to` rows, as torch.nn.functional.interpolate(mode="nearest") rounds it in
// float32. Runtimes divide by the inverse ratio, and at some sizes find the row before.
Value nearest_rows(Graph& graph, const Dim& from, const Dim& to) {
  const auto number = [](Value count) { return op::cast(count, DType::f32); };
  const Value all = number(op::size(graph, from)), kept = number(op::size(graph, to));
  const Value ratio = op::div(all, kept);
  return op::cast(op::mul(number(op::arange(graph, to)), ratio), DType::i64);
}

// [rows, columns, B] -> [columns, count, B]
Value resized_rows(Value x, const Dim& count) {
  return op::transpose(op::embedding(x, nearest_rows(x.graph(), x.dim(0), count)), 0, 1);
}

}  // namespace

Value mask_at(Value pixel_mask, Value image) {
  if (!pixel_mask) return {};
  const Value by_column = resized_rows(op::permute(pixel_mask, {1, 2, 0}), image.dim(2));
  const Value by_row = resized_rows(by_column, image.dim(3));
  return op::ne(op::permute(by_row, {2, 0, 1}), 0);
}

Value inverse_sigmoid(Value x, double eps) {
  x = op::clamp(x, 0, 1);
  const Value above = op::maximum(x, eps);
  const Value below = op::maximum(op::sub(1.0, x), eps);
  return op::log(op::div(above, below));
}

Value linear_stack(const Scope& s, Value x, std::int64_t inner, std::int64_t out, std::int64_t count) {
  const ModulePath at(x, s.path());
  for (std::int64_t i = 0; i < count; ++i) {
    if (i > 0) x = op::relu(x);
    const std::int64_t in = x.shape().back().constant().value();
    x = nn::Linear(s / "layers" / i, in, i + 1 < count ? inner : out)(x);
  }
  return x;
}

}  // namespace onnxport::models
