#include "layout/component_inputs.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "onnxport/dummy_inputs.h"

namespace onnxport::layout {

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

Component with_own_length(Component component, const std::string& input, int axis) {
  const TensorSpec spec = *component.interface.find_input(input);
  const Dim old = spec.axes.at(axis).length, own = Dim::parse(spec.axes.at(axis).name);
  const auto change_shape = [&](Shape& shape) { std::replace(shape.begin(), shape.end(), old, own); };
  const auto change = [&](std::vector<TensorSpec>& tensors) {
    for (TensorSpec& tensor : tensors) {
      change_shape(tensor.shape);
      for (auto& [position, of_axis] : tensor.axes)
        if (of_axis.length == old) of_axis.length = own;
    }
  };
  const auto change_states = [&](std::vector<StateSpec>& states) {
    for (StateSpec& state : states) change_shape(state.shape);
  };
  change(component.interface.inputs);
  change(component.interface.outputs);
  change_states(component.interface.states);
  auto dummies = std::make_shared<DummyInputs>(*component.interface.dummies);
  change(dummies->context.inputs);
  change_states(dummies->context.states);
  component.interface.dummies = std::move(dummies);
  return component;
}

}  // namespace onnxport::layout
