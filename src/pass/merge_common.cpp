#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

void append(std::string& key, std::uint32_t number) {
  key.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// By the id of a node: the first node that computes the same.
std::vector<std::uint32_t> first_equals(const Graph& graph) {
  constexpr std::uint32_t kAbsent = ~std::uint32_t{0};
  std::vector<std::uint32_t> firsts(graph.nodes().size());
  std::unordered_map<std::string, std::uint32_t> seen;
  std::string key;
  for (const Node& node : graph.nodes()) {
    firsts[node.id] = node.id;
    if (node.op == Op::weight || node.op == Op::input) continue;  // the graph itself makes equal weights once
    key.assign(1, static_cast<char>(node.op));
    append(key, static_cast<std::uint32_t>(node.inputs.size()));
    for (const Value& input : node.inputs) {
      append(key, input ? firsts[input.node()->id] : kAbsent);
      append(key, input ? input.index() : kAbsent);
    }
    for (const auto& [name, attr] : node.attrs.items()) key += name + "=" + to_string(attr) + " ";
    firsts[node.id] = seen.try_emplace(key, node.id).first->second;
  }
  return firsts;
}

}  // namespace

Graph merge_common(Graph graph) {
  const std::vector<std::uint32_t> firsts = first_equals(graph);
  std::unordered_map<std::uint32_t, std::vector<Value>> made;  // by the id of those that have equals
  for (std::uint32_t id = 0; id < firsts.size(); ++id) {
    if (firsts[id] != id) made[firsts[id]];
  }
  if (made.empty()) return graph;
  return rebuild(std::move(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    const auto found = made.find(firsts[node.id]);
    if (found == made.end()) return {};
    std::vector<Value>& values = found->second;
    if (values.empty()) {
      Node* copy = copy_node(result, node).node();
      for (std::uint32_t i = 0; i < node.outputs.size(); ++i) values.push_back(copy->out(i));
    }
    return values;
  });
}

}  // namespace onnxport::pass
