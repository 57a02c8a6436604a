/// Checks that a definition follows the interface of its component.
#pragma once

#include "onnxport/graph.h"
#include "onnxport/interface.h"

namespace onnxport::exporter {

/// The outputs must be those of the interface, in its order. A dynamic axis must have the length that the ops
/// inferred, or be derived from it. (An axis that turns out to be fixed stays a number.) Throws
/// ExportError(internal) for other names or an absent value, and ExportError(shape) for another axis.
/// `definition` is for messages.
void check_outputs(const NamedValues& outputs, const Interface& interface, const std::string& definition);

}  // namespace onnxport::exporter
