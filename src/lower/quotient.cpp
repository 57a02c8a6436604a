// Quotients.
#include <set>
#include <vector>

#include "lower/emitter.h"
#include "onnxport/dtype.h"
#include "onnxport/ops.h"

namespace onnxport::lower {
namespace {

// Whether an integer is made from a sum or a maximum along an axis, by integer ops alone.
bool is_from_reduction(const Value& value) {
  std::vector<const Node*> open = {value.node()};
  std::set<const Node*> seen;
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    if (is_float(node->outputs[0].dtype) || !seen.insert(node).second) continue;
    if (node->op == Op::sum || node->op == Op::amax) return true;
    for (const Value& input : node->inputs) {
      if (input) open.push_back(input.node());
    }
  }
  return false;
}

}  // namespace

// OpenVINO computes integers that follow a reduction as floats, and rounds the quotient: 28 / 10 is 3.
// Without a remainder it is right.
Lowered lower_div(Emitter& e, const Node& node) {
  const Names names = e.names_of(node.inputs);
  const bool rounded = !is_float(node.outputs[0].dtype) && is_from_reduction(node.inputs[0]);
  if (!rounded) return e.emit("Div", names);
  const std::string rest = e.emit("Mod", names, {{"fmod", std::int64_t{1}}});
  return e.emit("Div", {e.emit("Sub", {names[0], rest}), names[1]});
}

}  // namespace onnxport::lower
