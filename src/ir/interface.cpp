#include "onnxport/interface.h"

#include <algorithm>

namespace onnxport {
namespace {

std::vector<std::string> names_of(const std::vector<TensorSpec>& specs) {
  std::vector<std::string> names;
  names.reserve(specs.size());
  for (const TensorSpec& spec : specs) names.push_back(spec.name);
  return names;
}

const TensorSpec* find(const std::vector<TensorSpec>& specs, std::string_view name) {
  const auto it =
      std::find_if(specs.begin(), specs.end(), [&](const TensorSpec& spec) { return spec.name == name; });
  return it == specs.end() ? nullptr : &*it;
}

}  // namespace

std::string_view to_string(InterfaceOption option) {
  switch (option) {
    case InterfaceOption::hidden_states:
      return "output-hidden-states";
    case InterfaceOption::attentions:
      return "output-attentions";
    case InterfaceOption::num_logits_to_keep:
      return "num-logits-to-keep";
    case InterfaceOption::no_position_ids:
      return "no-position-ids";
    case InterfaceOption::pixel_mask:
      return "with-pixel-mask";
    case InterfaceOption::cross_attentions:
      return "output-cross-attentions";
  }
  return {};
}

bool takes_any(const std::vector<StateSpec>& states) {
  return std::any_of(states.begin(), states.end(),
                     [](const StateSpec& state) { return !state.input.empty(); });
}

std::vector<std::string> Interface::input_names() const { return names_of(inputs); }
std::vector<std::string> Interface::output_names() const { return names_of(outputs); }

const TensorSpec* Interface::find_input(std::string_view name) const { return find(inputs, name); }
bool Interface::has_output(std::string_view name) const { return find(outputs, name) != nullptr; }

bool Interface::has_axis(std::string_view name) const {
  return std::any_of(inputs.begin(), inputs.end(), [&](const TensorSpec& input) {
    return std::any_of(input.axes.begin(), input.axes.end(),
                       [&](const auto& axis) { return axis.second.name == name; });
  });
}

}  // namespace onnxport
