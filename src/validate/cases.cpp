#include "validate/cases.h"

#include <fmt/format.h>

#include <algorithm>

namespace onnxport::validate {
namespace {

enum class Padding { none, right, left };

// Row r loses 1 + 2r of its positions (the first row none, and one always stays).
std::int64_t padding_of_row(std::int64_t row, std::int64_t length) {
  return row == 0 ? 0 : std::min(1 + 2 * row, length - 1);
}

void overwrite(NamedTensors& inputs, std::string_view name, Padding padding, std::int64_t value) {
  for (auto& [key, tensor] : inputs) {
    if (key != name || tensor.shape.size() < 2) continue;
    std::vector<std::int64_t> values = tensor.to_ints();
    const std::int64_t length = tensor.shape.back();
    const std::int64_t rows = length == 0 ? 0 : tensor.numel() / length;
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t count = padding_of_row(row, length);
      const std::int64_t begin = row * length + (padding == Padding::left ? 0 : length - count);
      std::fill_n(values.begin() + begin, count, value);
    }
    tensor = Tensor::from_ints(tensor.dtype, tensor.shape, values);
  }
}

std::string describe(const OnnxConfig& config, const DummyShapes& shapes, Padding padding) {
  std::string text = fmt::format("batch_size {}", shapes.batch_size);
  if (config.task() == "multiple-choice") text += fmt::format(", num_choices {}", shapes.num_choices);
  text += fmt::format(", sequence_length {}", shapes.sequence_length);
  if (padding == Padding::right) text += ", padded on the right";
  if (padding == Padding::left) text += ", padded on the left";
  return text;
}

}  // namespace

std::vector<InputCase> input_cases(const OnnxConfig& config, const ValidationOptions& options) {
  std::vector<InputCase> cases;
  const auto add = [&](const DummyShapes& shapes, Padding padding) {
    InputCase one{describe(config, shapes, padding), config.generate_dummy_inputs(shapes, cases.size())};
    if (padding != Padding::none) {
      overwrite(one.inputs, "attention_mask", padding, 0);
      if (const auto pad = config.config().maybe_integer("pad_token_id"); pad && *pad >= 0) {
        overwrite(one.inputs, "input_ids", padding, *pad);
      }
    }
    cases.push_back(std::move(one));
  };
  const auto resized = [&](std::int64_t batch, std::int64_t choices, std::int64_t length) {
    DummyShapes shapes = options.shapes;
    shapes.batch_size = batch;
    shapes.num_choices = choices;
    shapes.sequence_length = length;
    return shapes;
  };
  add(options.shapes, Padding::none);
  if (!options.dynamic_axes) {
    add(options.shapes, Padding::right);
    return cases;
  }
  add(resized(1, 2, 1), Padding::none);
  add(resized(3, 3, 7), Padding::right);
  add(resized(2, 2, 9), Padding::left);
  return cases;
}

}  // namespace onnxport::validate
