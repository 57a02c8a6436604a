#include "scan_bodies.h"

#include <set>

namespace onnxport::test {
namespace {

using Names = std::set<std::string>;

// The names that a graph and the graphs in it take without making them.
Names free_names(const GraphSummary& graph) {
  Names made, taken;
  for (const ValueSummary& input : graph.inputs) made.insert(input.name);
  for (const InitializerSummary& one : graph.initializers) made.insert(one.name);
  for (const NodeSummary& node : graph.nodes) {
    taken.insert(node.inputs.begin(), node.inputs.end());
    for (const SubgraphSummary& inner : node.graphs) taken.merge(free_names(inner.graph));
    made.insert(node.outputs.begin(), node.outputs.end());
  }
  for (const ValueSummary& output : graph.outputs) taken.insert(output.name);
  Names free;
  for (const std::string& name : taken) {
    if (!name.empty() && !made.contains(name)) free.insert(name);
  }
  return free;
}

void collect(const GraphSummary& graph, Names initializers, std::vector<std::string>& found) {
  for (const InitializerSummary& one : graph.initializers) initializers.insert(one.name);
  for (const NodeSummary& node : graph.nodes) {
    for (const SubgraphSummary& inner : node.graphs) {
      if (node.op_type == "Scan") {
        for (const std::string& name : free_names(inner.graph)) {
          if (!initializers.contains(name)) found.push_back(node.name + ": " + name);
        }
      }
      collect(inner.graph, initializers, found);
    }
  }
}

}  // namespace

std::vector<std::string> taken_from_outside(const GraphSummary& graph) {
  std::vector<std::string> found;
  collect(graph, {}, found);
  return found;
}

}  // namespace onnxport::test
