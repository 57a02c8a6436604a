#include "layout/speech.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "layout/component_inputs.h"

namespace onnxport::layout {
namespace {

const Component* find(const ExportPlan& plan, const auto& is_wanted) {
  const auto it = std::find_if(plan.components.begin(), plan.components.end(), is_wanted);
  return it == plan.components.end() ? nullptr : &*it;
}

Component with_cache(Component encoder, const Component& first) {
  for (const StateSpec& state : first.interface.states) {
    if (!is_of_encoder(state)) continue;
    const auto& outputs = first.interface.outputs;
    const auto output = std::find_if(outputs.begin(), outputs.end(),
                                     [&](const TensorSpec& one) { return one.name == state.output; });
    encoder.interface.outputs.push_back(*output);
    encoder.interface.states.push_back(state);
  }
  return encoder;
}

}  // namespace

bool is_of_encoder(const StateSpec& state) { return state.part.starts_with("encoder."); }

std::optional<SpeechComponents> speech_components(const ExportPlan& plan) {
  const auto takes_past = [](const Component& one) { return one.interface.takes_past(); };
  const auto returns_past = [](const Component& one) {
    return !one.interface.takes_past() &&
           std::any_of(one.interface.states.begin(), one.interface.states.end(), is_of_encoder);
  };
  const Component* encoder = find_part(plan, "encoder");
  const Component* first = find(plan, returns_past);
  const Component* next = find(plan, takes_past);
  if (encoder == nullptr || first == nullptr || next == nullptr) return {};
  return SpeechComponents{with_cache(*encoder, *first), without_input(*next, "encoder_hidden_states")};
}

}  // namespace onnxport::layout
