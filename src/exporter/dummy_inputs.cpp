#include "onnxport/dummy_inputs.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport {
namespace {

/// Refuses sizes of invalid or huge tensors.
void check(const DummyShapes& shapes) {
  const std::pair<std::string_view, std::int64_t> sizes[] = {
      {"batch_size", shapes.batch_size},
      {"sequence_length", shapes.sequence_length},
      {"num_choices", shapes.num_choices},
      {"width", shapes.width},
      {"height", shapes.height},
      {"num_channels", shapes.num_channels},
      {"feature_size", shapes.feature_size},
      {"nb_max_frames", shapes.nb_max_frames},
      {"audio_sequence_length", shapes.audio_sequence_length},
      {"point_batch_size", shapes.point_batch_size},
      {"nb_points_per_image", shapes.nb_points_per_image},
      {"visual_seq_length", shapes.visual_seq_length},
  };
  constexpr std::int64_t largest = 1 << 20;
  if (shapes.past_sequence_length < 0 || shapes.past_sequence_length > largest) {
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("past_sequence_length of the dummy inputs is {}, expected 0 to {}",
                                  shapes.past_sequence_length, largest));
  }
  for (const auto& [name, size] : sizes) {
    if (size < 1 || size > largest) {
      throw ExportError(ErrorCode::invalid_argument,
                        fmt::format("{} of the dummy inputs is {}, expected 1 to {}", name, size, largest));
    }
  }
}

}  // namespace

const DummyInputGenerator& DummyInputs::generator(std::string_view input) const {
  const auto it = std::find_if(generators.begin(), generators.end(),
                               [&](const auto& generator) { return generator->supports_input(input); });
  if (it != generators.end()) return **it;
  throw ExportError(ErrorCode::internal, fmt::format("no dummy input generator of '{}' makes input '{}'",
                                                     context.normalized.config().model_type(), input));
}

TensorType DummyInputs::type(std::string_view input, const DummyShapes& sizes) const {
  check(sizes);
  return generator(input).type(input, context, sizes);
}

NamedTensors DummyInputs::make(const DummyShapes& sizes, std::uint64_t seed) const {
  check(sizes);
  NamedTensors tensors;
  for (const TensorSpec& input : context.inputs)
    tensors.emplace_back(input.name, generator(input.name).generate(input.name, context, sizes, seed));
  return tensors;
}

}  // namespace onnxport
