#include "transform/float32_outputs.h"

#include "onnxport/op.h"

namespace onnxport::transform {

Graph float32_outputs(Graph graph, const std::set<std::string>& except) {
  const ModulePath at(graph, "outputs");
  for (auto& [name, value] : graph.outputs()) {
    if (is_float(value.dtype()) && value.dtype() != DType::f32 && !except.contains(name))
      value = op::cast(value, DType::f32);
  }
  return graph;
}

}  // namespace onnxport::transform
