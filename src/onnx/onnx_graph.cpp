#include "onnx/onnx_graph.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace onnxport {

std::string fingerprint(const OnnxInitializer& initializer) {
  if (!initializer.packed) return initializer.weight.fingerprint();
  return fmt::format("{}[{}] in {}", element_type_name(element_type(initializer.packed->element)),
                     fmt::join(initializer.packed->shape, ","), initializer.weight.fingerprint());
}

std::vector<std::shared_ptr<OnnxGraph>> graphs_of(const OnnxNode& node) {
  std::vector<std::shared_ptr<OnnxGraph>> graphs;
  for (const auto& [name, value] : node.attrs) {
    if (const auto* graph = std::get_if<std::shared_ptr<OnnxGraph>>(&value)) graphs.push_back(*graph);
  }
  return graphs;
}

std::size_t count_nodes(const OnnxGraph& graph) {
  std::size_t count = graph.nodes.size();
  for (const OnnxNode& node : graph.nodes) {
    for (const auto& inner : graphs_of(node)) count += count_nodes(*inner);
  }
  return count;
}

void rename_inputs(std::vector<OnnxNode>& nodes, const std::function<void(std::string& name)>& rename) {
  for (OnnxNode& node : nodes) {
    for (std::string& input : node.inputs) rename(input);
    for (const auto& inner : graphs_of(node)) rename_inputs(inner->nodes, rename);
  }
}

}  // namespace onnxport
