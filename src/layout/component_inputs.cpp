#include "layout/component_inputs.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "onnxport/dummy_inputs.h"

namespace onnxport::layout {

const Component* find_part(const ExportPlan& plan, std::string_view part) {
  const auto found = std::find_if(plan.components.begin(), plan.components.end(),
                                  [&](const Component& one) { return one.part == part; });
  return found == plan.components.end() ? nullptr : &*found;
}

Component without_input(Component component, const std::string& name) {
  const auto drop = [&](std::vector<TensorSpec>& inputs) {
    std::erase_if(inputs, [&](const TensorSpec& input) { return input.name == name; });
  };
  drop(component.interface.inputs);
  auto dummies = std::make_shared<DummyInputs>(*component.interface.dummies);
  drop(dummies->context.inputs);
  component.interface.dummies = std::move(dummies);
  return component;
}

Component without_mask_of_samples(Component decoder) {
  decoder = without_input(std::move(decoder), "encoder_attention_mask");
  const TensorSpec hidden = *decoder.interface.find_input("encoder_hidden_states");
  const AxisSpec& states = hidden.axes.at(1);
  const Dim own = Dim::symbol(states.name);
  const auto change_shape = [&](Shape& shape) {
    std::replace(shape.begin(), shape.end(), states.length, own);
  };
  const auto change = [&](std::vector<TensorSpec>& tensors) {
    for (TensorSpec& tensor : tensors) {
      change_shape(tensor.shape);
      for (auto& [position, axis] : tensor.axes)
        if (axis.length == states.length) axis.length = own;
    }
  };
  change(decoder.interface.inputs);
  change(decoder.interface.outputs);
  for (StateSpec& state : decoder.interface.states) change_shape(state.shape);
  auto dummies = std::make_shared<DummyInputs>(*decoder.interface.dummies);
  change(dummies->context.inputs);
  dummies->context.states = decoder.interface.states;
  constexpr std::int64_t kMostStates = 100;  // more would show nothing else
  dummies->generators = {
      std::make_shared<const DummySeq2SeqInputGenerator>(*hidden.shape[2].constant(), kMostStates),
      std::make_shared<const DummyTextInputGenerator>()};
  decoder.interface.dummies = std::move(dummies);
  return decoder;
}

}  // namespace onnxport::layout
