/// Components of a plan, and inputs that a client does not give.
#pragma once

#include <string>
#include <string_view>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// The component that computes this part of the model, or null.
const Component* find_part(const ExportPlan& plan, std::string_view part);

/// The component without an input, which its definition must be able to do without.
Component without_input(Component component, const std::string& name);

/// A decoder of moonshine without encoder_attention_mask, which is a mask of samples. Without it, the number
/// of the encoder's states is a length of its own.
Component without_mask_of_samples(Component decoder);

}  // namespace onnxport::layout
