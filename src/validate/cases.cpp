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

Tensor* find_input(NamedTensors& inputs, std::string_view name) {
  const auto it =
      std::find_if(inputs.begin(), inputs.end(), [&](const auto& input) { return input.first == name; });
  return it == inputs.end() || it->second.shape.size() < 2 ? nullptr : &it->second;
}

// Pads all rows but the first: in the mask, and with it in the ids and positions, which may be those of the
// last tokens only (the others are in the cache).
void pad(NamedTensors& inputs, const OnnxConfig& config, Padding padding) {
  Tensor* mask = find_input(inputs, "attention_mask");
  if (mask == nullptr) mask = find_input(inputs, "encoder_attention_mask");
  if (mask == nullptr) return;
  const bool own = find_input(inputs, "attention_mask") == mask;  // not that of an encoder in another file
  std::vector<std::int64_t> real = mask->to_ints();
  const std::int64_t length = mask->shape.back();
  const std::int64_t rows = length == 0 ? 0 : mask->numel() / length;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t count = padding_of_row(row, length);
    std::fill_n(real.begin() + row * length + (padding == Padding::left ? 0 : length - count), count, 0);
  }
  *mask = Tensor::from_ints(mask->dtype, mask->shape, real);

  if (!own) return;
  const auto overwrite = [&](std::string_view name, const auto& value_of) {
    Tensor* tensor = find_input(inputs, name);
    if (tensor == nullptr) return;
    std::vector<std::int64_t> values = tensor->to_ints();
    const std::int64_t width = tensor->shape.back();
    for (std::int64_t row = 0; row < rows; ++row) {
      std::int64_t seen = 0;
      for (std::int64_t i = 0; i < length; ++i) {
        const bool is_real = real[static_cast<std::size_t>(row * length + i)] != 0;
        const std::int64_t at = i - (length - width);
        if (at >= 0) value_of(values[static_cast<std::size_t>(row * width + at)], is_real, seen);
        seen += is_real ? 1 : 0;
      }
    }
    *tensor = Tensor::from_ints(tensor->dtype, tensor->shape, values);
  };
  if (const auto id = config.config().unaccounted().maybe_integer("pad_token_id"); id && *id >= 0) {
    overwrite("input_ids", [&](std::int64_t& value, bool is_real, std::int64_t) {
      if (!is_real) value = *id;
    });
  }
  overwrite("position_ids", [&](std::int64_t& value, bool is_real, std::int64_t seen) {
    value = is_real ? seen : config.padded_position_id();
  });
}

bool has_axis(const OnnxConfig& config, std::string_view symbol) {
  const AxesByName inputs = config.inputs();
  return std::any_of(inputs.begin(), inputs.end(), [&](const auto& input) {
    return std::any_of(input.second.begin(), input.second.end(),
                       [&](const auto& axis) { return axis.second == symbol; });
  });
}

bool takes_images_alone(const OnnxConfig& config) {
  const AxesByName inputs = config.inputs();
  return inputs.size() == 1 && inputs[0].first == "pixel_values";
}

bool is_audio(const OnnxConfig& config) { return dynamic_cast<const AudioOnnxConfig*>(&config) != nullptr; }

std::string describe(const OnnxConfig& config, const DummyShapes& shapes, Padding padding) {
  std::string text = fmt::format("batch_size {}", shapes.batch_size);
  if (is_audio(config)) {
    const bool any_length = config.inputs().at(0).second.contains(1);
    return any_length ? fmt::format("{}, audio_sequence_length {}", text, shapes.audio_sequence_length)
                      : text;
  }
  if (has_axis(config, "point_batch_size")) {
    return fmt::format("{}, point_batch_size {}, nb_points_per_image {}", text, shapes.point_batch_size,
                       shapes.nb_points_per_image);
  }
  if (has_axis(config, "text_batch_size")) {
    text += fmt::format(", text_batch_size {}",
                        shapes.text_batch_size > 0 ? shapes.text_batch_size : shapes.batch_size);
  }
  if (config.task() == "multiple-choice") text += fmt::format(", num_choices {}", shapes.num_choices);
  text += fmt::format(", sequence_length {}", shapes.sequence_length);
  if (config.use_past_in_inputs())
    text += fmt::format(", past_sequence_length {}", shapes.past_sequence_length);
  if (padding == Padding::right) text += ", padded on the right";
  if (padding == Padding::left) text += ", padded on the left";
  return text;
}

// Audio is not padded: its architectures take no mask, or one of their own. Strides divide what is odd unlike
// what is even.
std::vector<InputCase> audio_cases(const OnnxConfig& config, const ValidationOptions& options) {
  std::vector<InputCase> cases;
  const auto add = [&](std::int64_t batch, std::int64_t length) {
    DummyShapes shapes = options.shapes;
    shapes.batch_size = batch;
    shapes.audio_sequence_length = length;
    cases.push_back(
        {describe(config, shapes, Padding::none), config.generate_dummy_inputs(shapes, cases.size())});
  };
  const std::int64_t length = options.shapes.audio_sequence_length;
  add(options.shapes.batch_size, length);
  if (!options.dynamic_axes) return cases;
  add(1, length / 2 + 1);
  add(3, length / 3 + 1);
  return cases;
}

// Images are not padded. Of sizes, small ones are tried: they show as much as large ones.
std::vector<InputCase> vision_cases(const OnnxConfig& config, const ValidationOptions& options) {
  std::vector<InputCase> cases;
  const auto* vision = dynamic_cast<const VisionOnnxConfig*>(&config);
  const bool any_size = options.dynamic_axes && vision != nullptr && vision->takes_any_image_size();
  const std::int64_t step = vision != nullptr ? vision->image_step() : 1;
  const ImageSize smallest = vision != nullptr ? vision->smallest_image() : ImageSize{1, 1};
  const auto add = [&](std::int64_t batch, std::int64_t height, std::int64_t width) {
    DummyShapes shapes = options.shapes;
    shapes.batch_size = batch;
    std::string what = fmt::format("batch_size {}", batch);
    if (any_size) {
      shapes.any_image_size = true;
      shapes.height = (height + step - 1) / step * step;
      shapes.width = (width + step - 1) / step * step;
      what += fmt::format(", height {}, width {}", shapes.height, shapes.width);
    }
    cases.push_back({std::move(what), config.generate_dummy_inputs(shapes, cases.size())});
  };
  const std::int64_t height = std::max(options.shapes.height, smallest.height);
  const std::int64_t width = std::max(options.shapes.width, smallest.width);
  add(options.shapes.batch_size, height, width);
  if (!options.dynamic_axes) return cases;
  add(1, height + 17, width);
  add(3, height, width + 34);
  return cases;
}

}  // namespace

std::vector<InputCase> input_cases(const OnnxConfig& config, const ValidationOptions& options) {
  if (is_audio(config)) return audio_cases(config, options);
  if (dynamic_cast<const VisionOnnxConfig*>(&config) != nullptr || takes_images_alone(config))
    return vision_cases(config, options);
  std::vector<InputCase> cases;
  // Tables of positions end: what is tried has to fit, unless the user asked for just that shape.
  const std::optional<std::int64_t> most = config.longest_sequence();
  const AxesByName inputs = config.inputs();
  const bool has_mask = std::any_of(inputs.begin(), inputs.end(), [](const auto& input) {
    return input.first.ends_with("attention_mask");
  });
  const auto add = [&](DummyShapes shapes, Padding padding) {
    if (!has_mask) padding = Padding::none;
    if (most && *most > 1 && options.dynamic_axes) {
      shapes.sequence_length = std::min(shapes.sequence_length, *most);
      const std::int64_t new_tokens = std::min(shapes.sequence_length, *most - 1);
      if (config.use_past_in_inputs() && shapes.past_sequence_length + new_tokens > *most) {
        shapes.sequence_length = std::min(new_tokens, std::max<std::int64_t>(*most / 2, 1));
        shapes.past_sequence_length = *most - shapes.sequence_length;
      }
    }
    InputCase one{describe(config, shapes, padding), config.generate_dummy_inputs(shapes, cases.size())};
    if (padding != Padding::none) pad(one.inputs, config, padding);
    cases.push_back(std::move(one));
  };
  const auto resized = [&](std::int64_t batch, std::int64_t choices, std::int64_t length,
                           std::int64_t past = 0) {
    DummyShapes shapes = options.shapes;
    shapes.batch_size = batch;
    shapes.text_batch_size = batch + 1;  // where images have a batch of their own
    shapes.num_choices = choices;
    shapes.point_batch_size = std::max<std::int64_t>(choices - 1, 1);
    shapes.nb_points_per_image = length;
    shapes.sequence_length = length;
    shapes.past_sequence_length = past;
    shapes.decoder_sequence_length = std::max<std::int64_t>(length - 2, 1);
    shapes.nb_max_frames = 3 * length + 1;  // strides divide some of these, and others not
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
  if (config.use_past_in_inputs()) {
    add(resized(3, 1, 1, 11), Padding::left);  // one more token, as in generation
    add(resized(2, 1, 4, 5), Padding::right);  // several, as in speculative decoding
  }
  return cases;
}

}  // namespace onnxport::validate
