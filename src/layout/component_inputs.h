/// Inputs that a client does not give.
#pragma once

#include <string>

#include "onnxport/interface.h"

namespace onnxport::layout {

/// The component without an input, which its definition must be able to do without.
Component without_input(Component component, const std::string& name);

/// The component in which an axis of an input has any length, which other inputs determined until one of them
/// was left out. All tensors with this length follow.
Component with_own_length(Component component, const std::string& input, int axis);

}  // namespace onnxport::layout
