#include "onnxport/dummy_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "exporter/dummy_values.h"
#include "onnxport/error.h"

namespace onnxport {

using exporter::extents;
using exporter::from_ints;
using exporter::ones;
using exporter::Random;

namespace {

std::int64_t decoder_length(const DummyShapes& shapes) {
  return shapes.decoder_sequence_length > 0 ? shapes.decoder_sequence_length : shapes.sequence_length;
}

/// Refuses a dtype of integer inputs that cannot hold 0 to `count - 1`.
void check_range(const DummyContext& context, std::string_view name, std::string_view what,
                 std::int64_t count) {
  const auto most = static_cast<std::int64_t>(std::min(highest(context.int_dtype), 0x1p62));
  if (count - 1 <= most) return;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("input '{}' of dtype {}: {} is {}, expected at most {}; use int32 or int64",
                                name, to_string(context.int_dtype), what, count, most + 1));
}

/// The number of ids that an input may hold.
std::int64_t vocabulary(const DummyContext& context, std::string_view name, bool of_decoder) {
  const std::int64_t own = context.normalized["vocab_size"];
  const std::int64_t given = of_decoder ? context.normalized.maybe("decoder_vocab_size").value_or(0) : 0;
  const std::int64_t size = given != 0 ? given : own;
  if (size < 1) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: vocab_size is {}, expected at least 1",
                                                         context.normalized.config().origin(), size));
  }
  check_range(context, name, "vocab_size", size);
  return size;
}

std::int64_t token_types(const DummyContext& context) {
  return std::max<std::int64_t>(context.normalized.maybe("type_vocab_size").value_or(2), 1);
}

/// The state with this input name, or null.
const StateSpec* find_state(const DummyContext& context, std::string_view input) {
  const auto it = std::find_if(context.states.begin(), context.states.end(),
                               [&](const StateSpec& state) { return state.input == input; });
  return it == context.states.end() ? nullptr : &*it;
}

/// Extents of a state, with sizes for the symbols. `encoder_length`: length of the encoder's inputs.
TensorType state_type(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                      std::int64_t encoder_length) {
  const StateSpec* const state = find_state(context, name);
  if (state == nullptr) {
    throw ExportError(ErrorCode::internal,
                      fmt::format("'{}' takes '{}', but its configuration class lists no such state",
                                  context.normalized.config().model_type(), name));
  }
  const DimBindings sizes = {{"batch_size", shapes.batch_size}, {"encoder_sequence_length", encoder_length}};
  TensorType type{state->dtype, state->shape};
  for (std::size_t axis = 0; axis < type.shape.size(); ++axis) {
    const bool grows = state->growing_axis && static_cast<std::size_t>(*state->growing_axis) == axis;
    type.shape[axis] = grows ? shapes.past_sequence_length : type.shape[axis].evaluate(sizes);
  }
  return type;
}

constexpr std::array<std::string_view, 6> text_inputs = {
    "input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds", "num_logits_to_keep"};

}  // namespace

const AxisSpec* DummyContext::axis(std::string_view input, int position) const {
  for (const TensorSpec& spec : inputs) {
    if (spec.name != input) continue;
    const auto it = spec.axes.find(position);
    return it == spec.axes.end() ? nullptr : &it->second;
  }
  return nullptr;
}

TensorType DummyInputGenerator::type(std::string_view name, const DummyContext& context,
                                     const DummyShapes& shapes) const {
  const Tensor tensor = generate(name, context, shapes, 0);
  return {tensor.dtype, Shape(tensor.shape.begin(), tensor.shape.end())};
}

Tensor DummyInputGenerator::random_floats(std::uint64_t seed, std::string_view name, DType dtype,
                                          const std::vector<std::int64_t>& shape) {
  constexpr std::int64_t kSteps = 256;  // all of them exact in half precision
  constexpr double kStep = 2.0 / kSteps;
  Random random(seed, name);
  std::vector<double> values(static_cast<std::size_t>(exporter::checked_count(name, shape)));
  for (double& value : values) value = static_cast<double>(random.below(kSteps)) * kStep - 1;
  return Tensor::from_doubles(dtype, shape, values);
}

Tensor DummyInputGenerator::random_floats(std::uint64_t seed, std::string_view name, const TensorType& type) {
  return random_floats(seed, name, type.dtype, extents(type));
}

Tensor DummyFloatInputGenerator::generate(std::string_view name, const DummyContext& context,
                                          const DummyShapes& shapes, std::uint64_t seed) const {
  return random_floats(seed, name, type(name, context, shapes));
}

// ---- text ----

namespace {

bool of_decoder(const DummyContext& context, std::string_view name) {
  const AxisSpec* const length = context.axis(name, 1);
  return length != nullptr && length->name == "decoder_sequence_length";
}

}  // namespace

bool DummyTextInputGenerator::supports_input(std::string_view name) const {
  return std::find(text_inputs.begin(), text_inputs.end(), name) != text_inputs.end();
}

TensorType DummyTextInputGenerator::type(std::string_view name, const DummyContext& context,
                                         const DummyShapes& shapes) const {
  if (name == "num_logits_to_keep") return {context.int_dtype, {}};
  const AxisSpec* const rows = context.axis(name, 0);
  const bool beside_images = shapes.text_batch_size > 0 && rows != nullptr && rows->name == "text_batch_size";
  TensorType type{context.int_dtype,
                  {beside_images ? shapes.text_batch_size : shapes.batch_size,
                   of_decoder(context, name) ? decoder_length(shapes) : shapes.sequence_length}};
  if (context.task == "multiple-choice") type.shape.insert(type.shape.begin() + 1, shapes.num_choices);
  const std::int64_t past = takes_any(context.states) ? shapes.past_sequence_length : 0;
  if (name == "attention_mask") type.shape.back() = type.shape.back() + past;
  if (name == "inputs_embeds") {
    type.dtype = context.float_dtype;
    type.shape.emplace_back(context.normalized["hidden_size"]);
  }
  if (name == "input_ids") vocabulary(context, name, of_decoder(context, name));
  if (name == "token_type_ids") check_range(context, name, "type_vocab_size", token_types(context));
  if (name == "position_ids") {
    check_range(context, name, "the number of positions of the dummy inputs", past + shapes.sequence_length);
  }
  return type;
}

Tensor DummyTextInputGenerator::generate(std::string_view name, const DummyContext& context,
                                         const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  Random random(seed, name);
  if (name == "input_ids") {
    const std::int64_t size = vocabulary(context, name, of_decoder(context, name));
    // Every position is attended to, so none may hold the padding token, because some models look for it in
    // the ids.
    const std::int64_t pad = context.normalized.maybe("pad_token_id").value_or(-1);
    const bool skips_pad = pad >= 0 && pad < size && size > 1;
    return from_ints(name, type, [&](std::int64_t) {
      const std::int64_t id = random.below(size - (skips_pad ? 1 : 0));
      return skips_pad && id >= pad ? id + 1 : id;
    });
  }
  if (name == "attention_mask") return ones(name, type);
  if (name == "token_type_ids") {
    const std::int64_t types = token_types(context);
    return from_ints(name, type, [&](std::int64_t) { return random.below(types); });
  }
  if (name == "position_ids") {
    const std::int64_t past = takes_any(context.states) ? shapes.past_sequence_length : 0;
    return from_ints(name, type, [&](std::int64_t i) { return past + i % shapes.sequence_length; });
  }
  if (name == "inputs_embeds") return random_floats(seed, name, type);
  if (name == "num_logits_to_keep")  // all, the last one, the last two, …
    return from_ints(name, type, [&](std::int64_t) { return static_cast<std::int64_t>(seed % 8); });
  throw ExportError(ErrorCode::internal, fmt::format("'{}' is not an input of a text model", name));
}

// ---- states ----

bool DummyPastKeyValuesGenerator::supports_input(std::string_view name) const {
  return name.starts_with("past_");
}

TensorType DummyPastKeyValuesGenerator::type(std::string_view name, const DummyContext& context,
                                             const DummyShapes& shapes) const {
  return state_type(name, context, shapes, shapes.sequence_length);
}

// ---- decoders of encoder-decoders ----

bool DummySeq2SeqInputGenerator::supports_input(std::string_view name) const {
  return name == "decoder_input_ids" || name == "encoder_hidden_states" || name == "encoder_attention_mask" ||
         name.starts_with("past_key_values.");
}

std::int64_t DummySeq2SeqInputGenerator::encoder_length(const DummyShapes& shapes) const {
  return most_frames_ ? std::min(shapes.nb_max_frames, *most_frames_) : shapes.sequence_length;
}

TensorType DummySeq2SeqInputGenerator::type(std::string_view name, const DummyContext& context,
                                            const DummyShapes& shapes) const {
  const std::int64_t length = encoder_length(shapes);
  if (name == "decoder_input_ids") {
    vocabulary(context, name, true);
    return {context.int_dtype, {shapes.batch_size, decoder_length(shapes)}};
  }
  if (name == "encoder_attention_mask") return {context.int_dtype, {shapes.batch_size, length}};
  if (name == "encoder_hidden_states") {
    const AxisSpec* const axis = context.axis(name, 1);
    const Dim states = axis == nullptr ? Dim(length) : axis->length;
    return {context.float_dtype,
            {shapes.batch_size, states.evaluate({{"encoder_sequence_length", length}}), encoder_width_}};
  }
  return state_type(name, context, shapes, length);
}

Tensor DummySeq2SeqInputGenerator::generate(std::string_view name, const DummyContext& context,
                                            const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  if (name == "encoder_attention_mask") return ones(name, type);
  if (name != "decoder_input_ids") return random_floats(seed, name, type);
  const std::int64_t size = vocabulary(context, name, true);
  Random random(seed, name);
  return from_ints(name, type, [&](std::int64_t) { return random.below(size); });
}

}  // namespace onnxport
