#include "transform/approximate_gelu.h"

#include <utility>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/rebuild.h"

namespace onnxport::transform {

Graph approximate_gelu(Graph graph) {
  return pass::rebuild(std::move(graph), [](Graph& /*result*/, const Node& node) -> std::vector<Value> {
    if (node.op != Op::gelu || node.attrs.get<std::string>("approximate") != "none") return {};
    return {op::gelu(node.inputs[0], "tanh")};
  });
}

}  // namespace onnxport::transform
