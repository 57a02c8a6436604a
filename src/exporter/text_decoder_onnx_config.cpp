#include <fmt/format.h>

#include "exporter/task_name.h"
#include "onnxport/error.h"
#include "onnxport/middle_end.h"

namespace onnxport {

using exporter::base_task;

bool OnnxConfigWithPast::use_past() const { return exporter::has_past(task()); }

bool OnnxConfigWithPast::use_past_in_inputs() const {
  return use_past() && base_task(task()) != "feature-extraction";
}

std::int64_t OnnxConfigWithPast::head_dim(std::int64_t heads) const {
  if (heads < 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} attention heads, expected at least 1", config().origin(), heads));
  }
  const NormalizedConfig normalized = normalized_config();
  return normalized.maybe("head_dim").value_or(normalized["hidden_size"] / heads);
}

std::vector<StateSpec> OnnxConfigWithPast::states() const {
  const NormalizedConfig normalized = normalized_config();
  const std::int64_t heads = normalized["num_attention_heads"];
  return key_values(normalized["num_layers"], normalized.maybe("num_key_value_heads").value_or(heads),
                    head_dim(heads));
}

std::vector<StateSpec> OnnxConfigWithPast::key_value(std::int64_t layer, std::int64_t heads,
                                                     std::int64_t head_dim,
                                                     std::optional<std::int64_t> value_dim) const {
  std::vector<StateSpec> states;
  for (const auto& [part, size] : {std::pair("key", head_dim), {"value", value_dim.value_or(head_dim)}}) {
    states.push_back({.input = fmt::format("past_key_values.{}.{}", layer, part),
                      .output = fmt::format("present.{}.{}", layer, part),
                      .dtype = float_dtype(),
                      .shape = {Dim::symbol("batch_size"), heads, Dim::symbol("past_sequence_length"), size},
                      .growing_axis = 2,
                      .grown = "past_sequence_length + sequence_length",
                      .layer = layer,
                      .part = part});
  }
  return states;
}

std::vector<StateSpec> OnnxConfigWithPast::key_values(std::int64_t layers, std::int64_t heads,
                                                      std::int64_t head_dim,
                                                      std::optional<std::int64_t> value_dim) const {
  std::vector<StateSpec> states;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    for (StateSpec& state : key_value(layer, heads, head_dim, value_dim)) states.push_back(std::move(state));
  }
  return states;
}

StateSpec OnnxConfigWithPast::fixed_state(std::int64_t layer, const std::string& part,
                                          const std::vector<std::int64_t>& extents) const {
  StateSpec state{.input = fmt::format("past_{}.{}", part, layer),
                  .output = fmt::format("present_{}.{}", part, layer),
                  .dtype = float_dtype(),
                  .shape = {Dim::symbol("batch_size")},
                  .layer = layer,
                  .part = part};
  state.shape.insert(state.shape.end(), extents.begin(), extents.end());
  return state;
}

void OnnxConfigWithPast::add_past_key_values(AxesByName& names, Direction direction) const {
  const bool inputs = direction == Direction::inputs;
  for (const StateSpec& state : states()) {
    const std::string& name = inputs ? state.input : state.output;
    if (name.empty()) continue;
    Axes axes;
    for (int axis = 0; axis < static_cast<int>(state.shape.size()); ++axis) {
      const Dim& dim = state.shape[static_cast<std::size_t>(axis)];
      const bool grows = !inputs && state.growing_axis == axis;
      if (!dim.is_constant()) axes.emplace(axis, grows ? state.grown : dim.str());
    }
    names.emplace_back(name, std::move(axes));
  }
}

AxesByName OnnxConfigWithPast::outputs() const {
  AxesByName outputs = common_outputs(base_task(task()));
  if (use_past()) add_past_key_values(outputs, Direction::outputs);
  return outputs;
}

AxesByName TextDecoderOnnxConfig::inputs() const {
  const bool past = use_past_in_inputs();
  AxesByName inputs = {
      {"input_ids", {{0, "batch_size"}, {1, "sequence_length"}}},
      {"attention_mask",
       {{0, "batch_size"}, {1, past ? "past_sequence_length + sequence_length" : "sequence_length"}}}};
  if (past) add_past_key_values(inputs, Direction::inputs);
  return inputs;
}

NormalizedConfig TextDecoderOnnxConfig::normalized_config() const { return NormalizedTextConfig(config()); }

DummyInputGenerators TextDecoderOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const DummyTextInputGenerator>(),
          std::make_shared<const DummyPastKeyValuesGenerator>()};
}

AxesByName TextDecoderWithPositionIdsOnnxConfig::inputs() const {
  AxesByName inputs = TextDecoderOnnxConfig::inputs();
  const std::string base = base_task(task());
  if (base == "feature-extraction" || base == "text-generation")
    inputs.emplace_back("position_ids", Axes{{0, "batch_size"}, {1, "sequence_length"}});
  return inputs;
}

}  // namespace onnxport
