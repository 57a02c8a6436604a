/// The values of a graph's symbols, from the shapes of its inputs.
#pragma once

#include "onnxport/dim.h"
#include "onnxport/graph.h"
#include "reference/interpreter.h"

namespace onnxport::reference {

/// Checks the inputs of a case against the graph's declarations and finds the value of every symbol in them.
/// Throws ExportError(invalid_argument) if an input is missing or does not fit its declaration, and
/// ExportError(shape) if a symbol has two values, or the inputs do not determine it.
DimBindings bind(const Graph& graph, const Case& inputs);

}  // namespace onnxport::reference
