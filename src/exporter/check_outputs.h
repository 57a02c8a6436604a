/// A definition keeps to the interface of its component.
#pragma once

#include "onnxport/graph.h"
#include "onnxport/interface.h"

namespace onnxport::exporter {

/// Outputs must be those of the interface, in its order, and an axis that it calls dynamic must be the length
/// that the ops inferred, or come from it. (An axis that turns out to be fixed stays a number.) Throws
/// ExportError(internal) for other names or an absent value, and ExportError(shape) for another axis.
/// `definition` names the definition in messages.
void check_outputs(const NamedValues& outputs, const Interface& interface, const std::string& definition);

}  // namespace onnxport::exporter
