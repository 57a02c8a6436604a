#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>

#include "onnxport/error.h"
#include "onnxport/onnx_config.h"

namespace onnxport {
namespace {

/// splitmix64: the same numbers under every standard library.
class Random {
 public:
  /// Its own stream for every (seed, name).
  Random(std::uint64_t seed, std::string_view name) : state_(seed * step) {
    std::uint64_t hash = 0xCBF29CE484222325;  // fnv-1a
    for (const unsigned char c : name) hash = (hash ^ c) * 0x100000001B3;
    state_ ^= hash;
  }
  /// In [0, bound).
  std::int64_t below(std::int64_t bound) {
    std::uint64_t x = state_ += step;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    x ^= x >> 31;
    return static_cast<std::int64_t>(x % static_cast<std::uint64_t>(bound));
  }

 private:
  static constexpr std::uint64_t step = 0x9E3779B97F4A7C15;
  std::uint64_t state_;
};

/// Number of elements; throws for a shape that asks for too many.
std::int64_t checked_count(std::string_view name, const std::vector<std::int64_t>& shape) {
  constexpr std::int64_t most = std::int64_t{1} << 30;
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (!__builtin_mul_overflow(count, extent, &count) && extent >= 0) continue;
    count = std::numeric_limits<std::int64_t>::max();
    break;
  }
  if (count <= most) return count;
  throw ExportError(
      ErrorCode::invalid_argument,
      fmt::format("dummy input '{}' would have {} elements, expected at most {}; ask for smaller shapes",
                  name, count, most));
}

bool is_decoder_part(const OnnxConfig& config) {
  return config.options().behavior == ConfigBehavior::decoder;
}

std::int64_t decoder_length(const DummyShapes& shapes) {
  return shapes.decoder_sequence_length > 0 ? shapes.decoder_sequence_length : shapes.sequence_length;
}

// past_key_values.….key|value -> [batch_size, heads, length, head size]
std::vector<std::int64_t> past_shape(std::string_view name, const OnnxConfig& config, std::int64_t batch_size,
                                     std::int64_t length) {
  const auto* with_past = dynamic_cast<const OnnxConfigWithPast*>(&config);
  if (with_past == nullptr) {
    throw ExportError(ErrorCode::internal, fmt::format("'{}' has a cache, but its configuration class is no "
                                                       "OnnxConfigWithPast",
                                                       config.config().model_type()));
  }
  const CacheSizes sizes = with_past->cache_sizes();
  return {batch_size, sizes.heads, length, name.ends_with(".key") ? sizes.key_dim : sizes.value_dim};
}

bool has_dynamic_axis(const OnnxConfig& config, std::string_view input, int axis) {
  for (const auto& [name, axes] : config.inputs()) {
    if (name == input) return axes.contains(axis);
  }
  return false;
}

constexpr std::array<std::string_view, 4> text_inputs = {"input_ids", "attention_mask", "token_type_ids",
                                                         "position_ids"};

}  // namespace

Tensor DummyInputGenerator::random_floats(std::uint64_t seed, std::string_view name, DType dtype,
                                          const std::vector<std::int64_t>& shape) {
  constexpr std::int64_t kSteps = 256;  // all of them exact in half precision
  constexpr double kStep = 2.0 / kSteps;
  Random random(seed, name);
  std::vector<double> values(static_cast<std::size_t>(checked_count(name, shape)));
  for (double& value : values) value = static_cast<double>(random.below(kSteps)) * kStep - 1;
  return Tensor::from_doubles(dtype, shape, values);
}

bool DummyTextInputGenerator::supports_input(std::string_view name) const {
  return std::find(text_inputs.begin(), text_inputs.end(), name) != text_inputs.end();
}

Tensor DummyTextInputGenerator::generate(std::string_view name, const OnnxConfig& config,
                                         const DummyShapes& shapes, std::uint64_t seed) const {
  const bool of_decoder = is_decoder_part(config) && name == "input_ids";
  const bool beside_images =
      shapes.text_batch_size > 0 && dynamic_cast<const TextAndVisionOnnxConfig*>(&config) != nullptr;
  std::vector<std::int64_t> shape = {beside_images ? shapes.text_batch_size : shapes.batch_size,
                                     of_decoder ? decoder_length(shapes) : shapes.sequence_length};
  if (config.task() == "multiple-choice") shape.insert(shape.begin() + 1, shapes.num_choices);
  const std::int64_t past = config.use_past_in_inputs() ? shapes.past_sequence_length : 0;
  if (name == "attention_mask") shape.back() += past;
  const NormalizedConfig normalized = config.normalized_config();
  Random random(seed, name);

  std::function<std::int64_t(std::int64_t)> value;
  if (name == "input_ids") {
    const std::int64_t own = normalized["vocab_size"];
    const std::int64_t vocab_size = of_decoder ? normalized.maybe("decoder_vocab_size").value_or(own) : own;
    if (vocab_size < 1) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: vocab_size is {}, expected at least 1",
                                                           config.config().origin(), vocab_size));
    }
    // Every position is attended, so none may hold the padding token: some models look for it in the ids.
    const std::int64_t pad = normalized.maybe("pad_token_id").value_or(-1);
    const bool skips_pad = pad >= 0 && pad < vocab_size && vocab_size > 1;
    value = [=, &random](std::int64_t) {
      const std::int64_t id = random.below(vocab_size - (skips_pad ? 1 : 0));
      return skips_pad && id >= pad ? id + 1 : id;
    };
  } else if (name == "attention_mask") {
    value = [](std::int64_t) { return 1; };
  } else if (name == "token_type_ids") {
    const std::int64_t types = std::max<std::int64_t>(normalized.maybe("type_vocab_size").value_or(2), 1);
    value = [=, &random](std::int64_t) { return random.below(types); };
  } else if (name == "position_ids") {
    value = [&](std::int64_t i) { return past + i % shapes.sequence_length; };
  } else {
    throw ExportError(ErrorCode::internal, fmt::format("'{}' is no input of a text model", name));
  }

  const std::int64_t count = checked_count(name, shape);
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = value(i);
  return Tensor::from_ints(config.int_dtype(), std::move(shape), values);
}

bool DummyPastKeyValuesGenerator::supports_input(std::string_view name) const {
  return name.starts_with("past_key_values.") && (name.ends_with(".key") || name.ends_with(".value"));
}

Tensor DummyPastKeyValuesGenerator::generate(std::string_view name, const OnnxConfig& config,
                                             const DummyShapes& shapes, std::uint64_t seed) const {
  return random_floats(seed, name, config.float_dtype(),
                       past_shape(name, config, shapes.batch_size, shapes.past_sequence_length));
}

bool DummySeq2SeqInputGenerator::supports_input(std::string_view name) const {
  return name == "decoder_input_ids" || name == "encoder_hidden_states" || name == "encoder_attention_mask" ||
         name.starts_with("past_key_values.");
}

Tensor DummySeq2SeqInputGenerator::generate(std::string_view name, const OnnxConfig& config,
                                            const DummyShapes& shapes, std::uint64_t seed) const {
  const auto& seq2seq = dynamic_cast<const OnnxSeq2SeqConfigWithPast&>(config);
  const NormalizedConfig normalized = config.normalized_config();
  const std::int64_t encoder_length = seq2seq.dummy_encoder_length(shapes);
  const std::int64_t states = config.axis_length("encoder_hidden_states", "encoder_sequence_length")
                                  .evaluate({{"encoder_sequence_length", encoder_length}});
  if (name == "decoder_input_ids") {
    const std::int64_t vocab_size = normalized.maybe("decoder_vocab_size").value_or(normalized["vocab_size"]);
    Random random(seed, name);
    const std::vector<std::int64_t> shape = {shapes.batch_size, decoder_length(shapes)};
    std::vector<std::int64_t> values(static_cast<std::size_t>(checked_count(name, shape)));
    for (std::int64_t& value : values) value = random.below(std::max<std::int64_t>(vocab_size, 1));
    return Tensor::from_ints(config.int_dtype(), shape, values);
  }
  if (name == "encoder_attention_mask") {
    const std::vector<std::int64_t> ones(static_cast<std::size_t>(shapes.batch_size * encoder_length), 1);
    return Tensor::from_ints(config.int_dtype(), {shapes.batch_size, encoder_length}, ones);
  }
  if (name == "encoder_hidden_states") {
    return random_floats(seed, name, config.float_dtype(),
                         {shapes.batch_size, states, seq2seq.encoder_width()});
  }
  const bool cross = name.find(".encoder.") != name.npos;
  return random_floats(
      seed, name, config.float_dtype(),
      past_shape(name, config, shapes.batch_size, cross ? states : shapes.past_sequence_length));
}

bool DummyAudioFeaturesInputGenerator::supports_input(std::string_view name) const {
  return name == "input_features" || name == "attention_mask";
}

Tensor DummyAudioFeaturesInputGenerator::generate(std::string_view name, const OnnxConfig& config,
                                                  const DummyShapes& shapes, std::uint64_t seed) const {
  std::vector<std::int64_t> shape = dynamic_cast<const AudioToTextOnnxConfig&>(config).feature_shape(shapes);
  shape.insert(shape.begin(), shapes.batch_size);
  if (name == "input_features") return random_floats(seed, name, config.float_dtype(), shape);
  shape.resize(2);
  const std::vector<std::int64_t> ones(static_cast<std::size_t>(checked_count(name, shape)), 1);
  return Tensor::from_ints(config.int_dtype(), shape, ones);
}

bool DummyVisionInputGenerator::supports_input(std::string_view name) const { return name == "pixel_values"; }

Tensor DummyVisionInputGenerator::generate(std::string_view name, const OnnxConfig& config,
                                           const DummyShapes& shapes, std::uint64_t seed) const {
  const NormalizedConfig normalized = config.normalized_config();
  ImageSize size = {shapes.height, shapes.width};
  if (!shapes.any_image_size || !has_dynamic_axis(config, name, 2)) {
    if (const std::vector<std::int64_t> own = normalized.list("image_size"); !own.empty()) {
      size = {own.front(), own.back()};
    } else if (config.options().preprocessor_size) {
      size = *config.options().preprocessor_size;
    }
  }
  const std::int64_t channels = normalized.maybe("num_channels").value_or(shapes.num_channels);
  return random_floats(seed, name, config.float_dtype(),
                       {shapes.batch_size, channels, size.height, size.width});
}

bool DummyAudioInputGenerator::supports_input(std::string_view name) const { return name == "input_values"; }

Tensor DummyAudioInputGenerator::generate(std::string_view name, const OnnxConfig& config,
                                          const DummyShapes& shapes, std::uint64_t seed) const {
  return random_floats(seed, name, config.float_dtype(), {shapes.batch_size, shapes.audio_sequence_length});
}

}  // namespace onnxport
