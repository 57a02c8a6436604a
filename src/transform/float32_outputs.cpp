#include "transform/float32_outputs.h"

#include <utility>

#include "onnxport/op.h"
#include "pass/rebuild.h"

namespace onnxport::transform {

Graph float32_outputs(Graph graph, const std::set<std::string>& except) {
  return pass::with_outputs(std::move(graph), [&](const std::string& name, Value value) {
    const bool half = is_float(value.dtype()) && value.dtype() != DType::f32;
    if (!half || except.contains(name)) return value;
    const ModulePath at(value, "outputs");
    return op::cast(value, DType::f32);
  });
}

}  // namespace onnxport::transform
