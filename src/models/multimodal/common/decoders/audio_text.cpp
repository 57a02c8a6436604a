#include "models/multimodal/common/decoders/audio_text.h"

#include <algorithm>

#include "onnxport/index_ops.h"

namespace onnxport::models {

std::int64_t DummySoundGenerator::frames(const DummyShapes& shapes) const {
  return features_.any_frames ? std::min(shapes.nb_max_frames, features_.frames) : features_.frames;
}

TensorType DummySoundGenerator::type(std::string_view name, const DummyContext& context,
                                     const DummyShapes& shapes) const {
  const std::int64_t batch = shapes.batch_size;
  if (name != name_) {
    const DType dtype = mask_.dtype == DType::boolean ? DType::boolean : context.int_dtype;
    return {dtype, {batch, frames(shapes)}};
  }
  if (features_.any_frames) return {context.float_dtype, {batch, frames(shapes), features_.size}};
  return {context.float_dtype, {batch, features_.size, frames(shapes)}};
}

Tensor DummySoundGenerator::generate(std::string_view name, const DummyContext& context,
                                     const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  if (name == name_) return random_floats(seed, name, type);
  const std::int64_t longest = frames(shapes);
  std::vector<std::int64_t> values;
  for (std::int64_t row = 0; row < shapes.batch_size; ++row) {
    const std::int64_t real = row % 2 == 0 ? longest : longest - longest / 4;
    for (std::int64_t i = 0; i < longest; ++i) values.push_back(i < real ? 1 : 0);
  }
  return Tensor::from_ints(type.dtype, {shapes.batch_size, longest}, values);
}

NamedValues forward_audio_text(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                               const Component& component, const FindTextConfig& text_config,
                               Value (*encode)(const Inputs& inputs, const Model& model)) {
  return forward_multimodal_decoder(
      tasks, inputs, model, component, text_config,
      [&](const Inputs& in, const Component&) -> NamedValues {
        return {{"audio_features", encode(in, model)}};
      },
      "language_model", LogitsOf::language_model);
}

Value real_rows(Value x, Value real, const Dim& symbol) {
  const Value places = op::nonzero(op::flatten(real, 0, 1), symbol);
  return op::embedding(op::flatten(x, 0, 1), places);
}

Value mean_of_pairs(Value x) {
  const std::int64_t pairs = *x.dim(1).constant() / 2;
  const Value even = op::slice(x, 1, 0, 2 * pairs);
  return op::mean(op::reshape(even, {x.dim(0), pairs, 2, x.dim(2)}), 2);
}

}  // namespace onnxport::models
