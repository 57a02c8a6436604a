// Turns a configuration class into data.
#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/onnx_config.h"

namespace onnxport {
namespace {

TensorSpec described(const OnnxConfig& config, const std::string& name, const Axes& axes) {
  TensorSpec spec{.name = name};
  for (const auto& [axis, symbol] : axes)
    spec.axes.emplace(axis, AxisSpec{symbol, config.axis_length(name, symbol)});
  return spec;
}

// Static axes have the extents of the dummy inputs.
void add_type(TensorSpec& input, const DummyInputs& dummies) {
  const TensorType type = dummies.type(input.name, dummies.shapes);
  input.dtype = type.dtype;
  input.shape = type.shape;
  for (const auto& [axis, called] : input.axes) {
    if (axis < 0 || axis >= static_cast<int>(input.shape.size())) {
      throw ExportError(ErrorCode::internal,
                        fmt::format("input '{}' of '{}' names axis {} '{}', but the dummy tensor has {} axes",
                                    input.name, dummies.context.normalized.config().model_type(), axis,
                                    called.name, input.shape.size()));
    }
    if (dummies.dynamic_axes) input.shape[static_cast<std::size_t>(axis)] = called.length;
  }
}

// The states that the component takes or returns, with the lengths that its graph computes.
std::vector<StateSpec> present_states(const OnnxConfig& config, const Interface& interface) {
  std::vector<StateSpec> states;
  for (StateSpec state : config.states()) {
    if (interface.find_input(state.input) == nullptr) state.input.clear();
    if (!interface.has_output(state.output)) state.output.clear();
    if (state.input.empty() && state.output.empty()) continue;
    const std::string& name = state.input.empty() ? state.output : state.input;
    for (Dim& dim : state.shape) {
      if (dim.is_symbol()) dim = config.axis_length(name, dim.str());
    }
    states.push_back(std::move(state));
  }
  return states;
}

// The longest sequence for validation. Positions must fit the dtype of integer inputs.
std::optional<std::int64_t> tried_length(const OnnxConfig& config, const Interface& interface) {
  const std::optional<std::int64_t> longest = config.longest_sequence();
  if (config.int_dtype() != DType::i8 || interface.find_input("position_ids") == nullptr) return longest;
  const auto positions = static_cast<std::int64_t>(highest(DType::i8)) + 1;
  return std::min(longest.value_or(positions), positions);
}

}  // namespace

Interface OnnxConfig::interface(const DummyShapes& shapes, bool dynamic_axes) const {
  Interface made{.atol = atol_for_validation(), .opset = default_onnx_opset(), .float_dtype = float_dtype()};
  AxesByName taken = inputs(), given = outputs();
  apply(options().interface_options, taken, given);
  for (const auto& [name, axes] : taken) made.inputs.push_back(described(*this, name, axes));
  for (const auto& [name, axes] : given) made.outputs.push_back(described(*this, name, axes));
  made.states = present_states(*this, made);
  const auto dummies = std::make_shared<DummyInputs>(
      DummyInputs{.context = {.task = task(),
                              .normalized = normalized_config(),
                              .int_dtype = int_dtype(),
                              .float_dtype = float_dtype(),
                              .preprocessors = preprocessors(),
                              .inputs = made.inputs,
                              .states = made.states},
                  .generators = dummy_input_generators(),
                  .shapes = shapes,
                  .dynamic_axes = dynamic_axes,
                  .padded_position_id = padded_position_id(),
                  .pad_token_id = config().unaccounted().maybe_integer("pad_token_id"),
                  .longest_sequence = tried_length(*this, made),
                  .images = image_sizes()});
  for (TensorSpec& input : made.inputs) add_type(input, *dummies);
  for (StateSpec& state : made.states) {
    if (const TensorSpec* input = made.find_input(state.input)) state.shape = input->shape;
  }
  made.dummies = dummies;
  return made;
}

Component OnnxConfig::component(std::string name, const DummyShapes& shapes, bool dynamic_axes) const {
  if (name.empty()) name = part().empty() ? "model" : part();
  return {.name = name,
          .stem = name,
          .task = task(),
          .part = part(),
          .interface = interface(shapes, dynamic_axes),
          .patches = patching_specs()};
}

NamedTensors OnnxConfig::generate_dummy_inputs(const DummyShapes& shapes, std::uint64_t seed) const {
  return interface(shapes).dummies->make(shapes, seed);
}

}  // namespace onnxport
