#include "validate/cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "onnxport/dummy_inputs.h"
#include "validate/lookups.h"

namespace onnxport::validate {
namespace {

enum class Padding { none, right, left };

// How much higher or wider than the first some images are. Strides divide neither.
constexpr std::int64_t kHigher = 17, kWider = 34;

// Row r loses 1 + 2r of its positions. The first row loses none, and at least one always stays.
std::int64_t padding_of_row(std::int64_t row, std::int64_t length) {
  return row == 0 ? 0 : std::min(1 + 2 * row, length - 1);
}

Tensor* find_input(NamedTensors& inputs, std::string_view name) {
  const auto it =
      std::find_if(inputs.begin(), inputs.end(), [&](const auto& input) { return input.first == name; });
  return it == inputs.end() || it->second.shape.size() < 2 ? nullptr : &it->second;
}

// Pads all rows except the first: the mask, the ids and the positions. Ids and positions may cover only the
// last tokens, because the others are in the cache.
void pad(NamedTensors& inputs, const DummyInputs& dummies, Padding padding) {
  Tensor* mask = find_input(inputs, "attention_mask");
  if (mask == nullptr) mask = find_input(inputs, "encoder_attention_mask");
  if (mask == nullptr) return;
  const bool own =
      find_input(inputs, "attention_mask") == mask;  // not the mask of an encoder in another file
  std::vector<double> real = mask->to_doubles();
  const std::int64_t length = mask->shape.back();
  const std::int64_t rows = length == 0 ? 0 : mask->numel() / length;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t count = padding_of_row(row, length);
    std::fill_n(real.begin() + row * length + (padding == Padding::left ? 0 : length - count), count, 0);
  }
  *mask = Tensor::from_doubles(mask->dtype, mask->shape, real);

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
  if (const auto id = dummies.pad_token_id; id && *id >= 0) {
    overwrite("input_ids", [&](std::int64_t& value, bool is_real, std::int64_t) {
      if (!is_real) value = *id;
    });
  }
  overwrite("position_ids", [&](std::int64_t& value, bool is_real, std::int64_t seen) {
    value = is_real ? seen : dummies.padded_position_id;
  });
}

bool takes_images_alone(const Interface& interface) {
  return interface.inputs.size() == 1 && interface.find_input("pixel_values") != nullptr;
}

// Raw audio. Features made from audio have another name.
bool takes_samples(const Interface& interface) { return interface.find_input("input_values") != nullptr; }

// Latents of images, or images as an autoencoder takes them.
bool takes_latents(const Interface& interface) {
  return interface.has_axis("latent_height") || interface.has_axis("sample_height") ||
         interface.has_axis("packed_height_width") ||
         (interface.has_axis("height") && interface.find_input("pixel_values") == nullptr);
}

std::string describe(const Interface& interface, const DummyShapes& shapes, Padding padding) {
  std::string text = fmt::format("batch_size {}", shapes.batch_size);
  if (takes_samples(interface)) {
    const bool any_length = interface.find_input("input_values")->axes.contains(1);
    return any_length ? fmt::format("{}, audio_sequence_length {}", text, shapes.audio_sequence_length)
                      : text;
  }
  if (interface.has_axis("point_batch_size")) {
    return fmt::format("{}, point_batch_size {}, nb_points_per_image {}", text, shapes.point_batch_size,
                       shapes.nb_points_per_image);
  }
  if (interface.has_axis("text_batch_size")) {
    text += fmt::format(", text_batch_size {}",
                        shapes.text_batch_size > 0 ? shapes.text_batch_size : shapes.batch_size);
  }
  if (interface.has_axis("num_choices")) text += fmt::format(", num_choices {}", shapes.num_choices);
  const bool latents = takes_latents(interface);
  if (latents || shapes.any_image_size)
    text += fmt::format(", height {}, width {}", shapes.height, shapes.width);
  if (!latents || interface.has_axis("sequence_length"))
    text += fmt::format(", sequence_length {}", shapes.sequence_length);
  if (interface.takes_past()) text += fmt::format(", past_sequence_length {}", shapes.past_sequence_length);
  if (padding == Padding::right) text += ", padded on the right";
  if (padding == Padding::left) text += ", padded on the left";
  return text;
}

// Audio is not padded, because its architectures take no mask, or a special one. Strides divide odd and even
// lengths differently, so both are used.
std::vector<InputCase> audio_cases(const Interface& interface) {
  const DummyInputs& dummies = *interface.dummies;
  std::vector<InputCase> cases;
  const auto add = [&](std::int64_t batch, std::int64_t length) {
    DummyShapes shapes = dummies.shapes;
    shapes.batch_size = batch;
    shapes.audio_sequence_length = length;
    cases.push_back({describe(interface, shapes, Padding::none), dummies.make(shapes, cases.size())});
  };
  const std::int64_t length = dummies.shapes.audio_sequence_length;
  add(dummies.shapes.batch_size, length);
  if (!dummies.dynamic_axes) return cases;
  add(1, length / 2 + 1);
  add(3, length / 3 + 1);
  return cases;
}

// Whether images [batch_size, num_channels, height, width] may have any size.
bool takes_any_size(const Interface& interface) {
  const TensorSpec* images = interface.find_input("pixel_values");
  return images != nullptr && interface.dummies->dynamic_axes && images->axes.contains(2) &&
         images->axes.contains(3);
}

// Images of the requested size and these many more pixels, as the model takes them.
void set_image_size(DummyShapes& shapes, const DummyInputs& dummies, std::int64_t higher,
                    std::int64_t wider) {
  const auto [step, smallest] = dummies.images;
  const auto rounded_up = [step = step](std::int64_t size) { return (size + step - 1) / step * step; };
  shapes.any_image_size = true;
  shapes.height = rounded_up(std::max(dummies.shapes.height, smallest.height) + higher);
  shapes.width = rounded_up(std::max(dummies.shapes.width, smallest.width) + wider);
}

// Images are not padded. Small sizes are used, because they show as much as large ones.
std::vector<InputCase> vision_cases(const Interface& interface) {
  const DummyInputs& dummies = *interface.dummies;
  std::vector<InputCase> cases;
  const auto add = [&](std::int64_t batch, std::int64_t higher, std::int64_t wider) {
    DummyShapes shapes = dummies.shapes;
    shapes.batch_size = batch;
    std::string what = fmt::format("batch_size {}", batch);
    if (takes_any_size(interface)) {
      set_image_size(shapes, dummies, higher, wider);
      what += fmt::format(", height {}, width {}", shapes.height, shapes.width);
    }
    cases.push_back({std::move(what), dummies.make(shapes, cases.size())});
  };
  add(dummies.shapes.batch_size, 0, 0);
  if (!dummies.dynamic_axes) return cases;
  add(1, kHigher, 0);
  add(3, 0, kWider);
  return cases;
}

// Limits the shapes to the table of positions.
DummyShapes within(DummyShapes shapes, std::int64_t most, bool with_past) {
  shapes.sequence_length = std::min(shapes.sequence_length, most);
  shapes.decoder_sequence_length = std::min(shapes.decoder_sequence_length, most);
  const std::int64_t new_tokens = std::min(shapes.sequence_length, most - 1);
  if (with_past && shapes.past_sequence_length + new_tokens > most) {
    shapes.sequence_length = std::min(new_tokens, std::max<std::int64_t>(most / 2, 1));
    shapes.past_sequence_length = most - shapes.sequence_length;
  }
  return shapes;
}

std::vector<InputCase> text_cases(const Interface& interface) {
  const DummyInputs& dummies = *interface.dummies;
  std::vector<InputCase> cases;
  const bool with_past = interface.takes_past();
  const bool has_mask = std::any_of(interface.inputs.begin(), interface.inputs.end(),
                                    [](const auto& input) { return input.name.ends_with("attention_mask"); });
  const bool any_size = takes_any_size(interface);
  const std::optional<std::int64_t> most = dummies.longest_sequence;
  const auto add = [&](DummyShapes shapes, Padding padding) {
    if (!has_mask) padding = Padding::none;
    // Static shapes stay as the user asked for.
    if (most && *most > 1 && dummies.dynamic_axes) shapes = within(shapes, *most, with_past);
    InputCase one{describe(interface, shapes, padding), dummies.make(shapes, cases.size())};
    if (padding != Padding::none) pad(one.inputs, dummies, padding);
    cases.push_back(std::move(one));
  };
  const auto resized = [&](std::int64_t batch, std::int64_t choices, std::int64_t length,
                           std::int64_t past = 0) {
    DummyShapes shapes = dummies.shapes;
    shapes.batch_size = batch;
    shapes.text_batch_size = batch + 1;  // where images have a batch of their own
    shapes.num_choices = choices;
    shapes.point_batch_size = std::max<std::int64_t>(choices - 1, 1);
    shapes.nb_points_per_image = length;
    shapes.sequence_length = length;
    shapes.past_sequence_length = past;
    shapes.decoder_sequence_length = std::max<std::int64_t>(length - 2, 1);
    shapes.nb_max_frames = 3 * length + 1;  // strides divide some of these, and others not
    if (takes_latents(interface)) {
      constexpr std::int64_t kSteps = 32;  // in pixels; strides do not divide the odd number
      shapes.width += kSteps * (batch - 1);
      if (batch == 1) shapes.height += kSteps / 2 + 1;
    }
    if (any_size) set_image_size(shapes, dummies, batch == 1 ? kHigher : 0, batch == 3 ? kWider : 0);
    return shapes;
  };
  DummyShapes first = dummies.shapes;
  if (any_size) set_image_size(first, dummies, 0, 0);
  add(first, Padding::none);
  if (!dummies.dynamic_axes) {
    add(first, Padding::right);
    return cases;
  }
  add(resized(1, 2, 1), Padding::none);
  add(resized(3, 3, 7), Padding::right);
  add(resized(2, 2, 9), Padding::left);
  if (with_past) {
    add(resized(3, 1, 1, 11), Padding::left);  // one more token, as in generation
    add(resized(2, 1, 4, 5), Padding::right);  // several, as in speculative decoding
  }
  return cases;
}

}  // namespace

std::vector<InputCase> input_cases(const Interface& interface) {
  if (takes_samples(interface)) return audio_cases(interface);
  if (takes_images_alone(interface)) return vision_cases(interface);
  return text_cases(interface);
}

std::vector<InputCase> input_cases(const Interface& interface, const Graph& graph) {
  const auto fits = [&](const std::vector<InputCase>& cases) {
    return std::all_of(cases.begin(), cases.end(),
                       [&](const InputCase& one) { return finds_all_rows(graph, one.inputs); });
  };
  std::vector<InputCase> cases = input_cases(interface);
  if (!interface.dummies->dynamic_axes || fits(cases)) return cases;
  // No key of the configuration says how many positions there are. The table does.
  constexpr std::int64_t kLongest = 16;  // of the other cases
  DummyInputs dummies = *interface.dummies;
  const std::int64_t asked = dummies.shapes.sequence_length + dummies.shapes.past_sequence_length;
  const std::int64_t longest = std::max(asked, kLongest);
  Interface shorter = interface;
  for (std::int64_t most = std::min(dummies.longest_sequence.value_or(longest), longest); most > 1; --most) {
    dummies.longest_sequence = most;
    shorter.dummies = std::make_shared<const DummyInputs>(dummies);
    cases = input_cases(shorter);
    if (fits(cases)) break;
  }
  return cases;
}

}  // namespace onnxport::validate
