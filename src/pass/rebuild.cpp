#include "pass/rebuild.h"

#include <utility>

namespace onnxport::pass {

Value copy_node(Graph& graph, Node node) {
  if (node.op == Op::weight) return graph.weight_as_is(node.weight);
  return graph.add(node.op, std::move(node.inputs), std::move(node.attrs), std::move(node.outputs)).out();
}

Graph rebuild(const Graph& graph, const Rewrite& rewrite) {
  Graph result(graph.float_dtype());
  std::vector<std::vector<Value>> results(graph.nodes().size());
  const auto moved = [&](const Value& value) {
    return value ? results[value.node()->id][value.index()] : Value();
  };
  for (const auto& [name, value] : graph.inputs())
    results[value.node()->id] = {result.input(name, value.type())};
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::input) continue;
    Node candidate = node;
    candidate.graph = &result;
    for (Value& input : candidate.inputs) input = moved(input);
    const ModulePath path(result, node.path);
    std::vector<Value> replacement = rewrite(result, candidate);
    if (replacement.empty()) {
      Node* copy = copy_node(result, std::move(candidate)).node();
      for (std::uint32_t i = 0; i < node.outputs.size(); ++i) replacement.push_back(copy->out(i));
    }
    results[node.id] = std::move(replacement);
  }
  for (const auto& [name, value] : graph.outputs()) result.output(name, moved(value));
  return result;
}

}  // namespace onnxport::pass
