/// PATCHING_SPECS of a configuration class, applied to its graph.
#pragma once

#include <vector>

#include "onnxport/patching.h"

namespace onnxport::transform {

/// Applies the specs one after the other. Without any, the graph is the same. Throws ExportError(shape) when
/// a replacement gives another number of values or other types than the original, ExportError(internal) for a
/// spec that names no op and no module, that matches nothing, or whose module is not one piece.
Graph patch(Graph graph, const std::vector<PatchingSpec>& specs);

}  // namespace onnxport::transform
