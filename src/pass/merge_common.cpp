#include <fmt/format.h>

#include <unordered_map>

#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

Graph merge_common(const Graph& graph) {
  std::unordered_map<std::string, std::vector<Value>> made;
  return rebuild(graph, [&](Graph& result, const Node& node) -> std::vector<Value> {
    if (node.op == Op::weight) return {};  // the graph itself makes equal weights once
    std::string key(to_string(node.op));
    for (const Value& input : node.inputs)
      key += input ? fmt::format(" {}.{}", input.node()->id, input.index()) : " -";
    for (const auto& [name, attr] : node.attrs.items()) key += " " + name + "=" + to_string(attr);
    std::vector<Value>& values = made[key];
    if (values.empty()) {
      Node* copy = copy_node(result, node).node();
      for (std::uint32_t i = 0; i < node.outputs.size(); ++i) values.push_back(copy->out(i));
    }
    return values;
  });
}

}  // namespace onnxport::pass
