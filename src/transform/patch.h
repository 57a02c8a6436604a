/// PATCHING_SPECS of a configuration class, applied to its graph.
#pragma once

#include <vector>

#include "onnxport/patching.h"

namespace onnxport::transform {

/// Applies the specs in order. Without specs, the graph stays the same. Throws ExportError(shape) if a
/// replacement returns another number of values or other types than the original. Throws
/// ExportError(internal) for a spec that names neither an op nor a module, matches nothing, or whose module
/// is not one piece.
Graph patch(Graph graph, const std::vector<PatchingSpec>& specs);

}  // namespace onnxport::transform
