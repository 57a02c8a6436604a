#include "models/vision/common/detected_boxes.h"

#include <utility>

namespace onnxport::models {
namespace {

constexpr const char* kSizes = "orig_target_sizes";

/// images, and sizes of original images.
class DummyBoxesInputGenerator : public DummyVisionInputGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name == kBoxesImages || name == kSizes; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const TensorType images = DummyVisionInputGenerator::type(name, context, shapes);
    return name == kSizes ? TensorType{context.int_dtype, {images.shape[0], 2}} : images;
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    if (name != kSizes) return DummyVisionInputGenerator::generate(name, context, shapes, seed);
    std::vector<std::int64_t> sizes;
    for (std::int64_t image = 0; image < shapes.batch_size; ++image) {
      sizes.push_back(40 + 7 * image);
      sizes.push_back(30 + 5 * image);
    }
    return Tensor::from_ints(context.int_dtype, {shapes.batch_size, 2}, sizes);
  }
};

// [B, Q, 4] around their centers -> from corner to corner, in pixels of images of these sizes [B, 2].
Value corners(Value boxes, Value sizes) {
  const std::vector<Value> parts = op::split(boxes, 2, {2, 2});
  const Value half = op::mul(parts[1], 0.5);
  const Value first = op::sub(parts[0], half);
  const Value last = op::add(parts[0], half);
  const Value relative = op::concat({first, last}, 2);
  const Value scale = op::cast(op::concat({sizes, sizes}, 1), boxes.dtype());
  return op::mul(relative, op::unsqueeze(scale, 1));
}

}  // namespace

std::vector<std::string> DetectedBoxesOnnxConfig::variants() const { return {"default", kBoxesVariant}; }

AxesByName DetectedBoxesOnnxConfig::inputs() const {
  AxesByName inputs = DetectorOnnxConfig::inputs();
  if (!has_boxes()) return inputs;
  inputs.front().first = kBoxesImages;
  inputs.emplace_back(kSizes, Axes{{0, "batch_size"}});
  return inputs;
}

AxesByName DetectedBoxesOnnxConfig::outputs() const {
  if (!has_boxes()) return DetectorOnnxConfig::outputs();
  const Axes axes = {{0, "batch_size"}};
  return {{"labels", axes}, {"boxes", axes}, {"scores", axes}};
}

DummyInputGenerators DetectedBoxesOnnxConfig::dummy_input_generators() const {
  DummyInputGenerators generators = DetectorOnnxConfig::dummy_input_generators();
  generators.push_back(std::make_shared<const DummyBoxesInputGenerator>());
  return generators;
}

Value detector_images(const Inputs& inputs) {
  return inputs.has(kBoxesImages) ? inputs[kBoxesImages] : inputs["pixel_values"];
}

NamedValues detector_outputs(const Inputs& inputs, Value logits, Value boxes) {
  const Value sizes = inputs.get(kSizes);
  if (!sizes) return {{"logits", logits}, {"pred_boxes", boxes}};
  const ModulePath at(logits, "postprocessor");
  const std::int64_t queries = logits.dim(1).constant().value(), classes = logits.dim(2).constant().value();
  // A query may be among the best with several classes.
  const op::TopK best = op::topk(op::flatten(op::sigmoid(logits), 1, 2), queries, 1);
  const Value query = op::div(best.indices, static_cast<double>(classes));
  const Value labels = op::sub(best.indices, op::mul(query, static_cast<double>(classes)));
  const Value places = op::expand(op::unsqueeze(query, 2), {logits.dim(0), queries, 4});
  const Value found = op::gather(corners(boxes, sizes), 1, places);
  return {{"labels", labels}, {"boxes", found}, {"scores", best.values}};
}

}  // namespace onnxport::models
