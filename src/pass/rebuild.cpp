#include "pass/rebuild.h"
#include "onnxport/ops.h"

#include <utility>

namespace onnxport::pass {
namespace {

// `take`: moves or copies a node out of `graph`.
template <class AnyGraph, class Take>
Graph rebuild_from(AnyGraph& graph, const Rewrite& rewrite, Take&& take,
                   const RewriteOutput& rewrite_output = {}) {
  Graph result(graph.float_dtype());
  std::vector<std::vector<Value>> results(graph.nodes().size());
  const auto moved = [&](const Value& value) {
    return value ? results[value.node()->id][value.index()] : Value();
  };
  for (const auto& [name, value] : graph.inputs())
    results[value.node()->id] = {result.input(name, value.type())};
  for (auto& node : graph.nodes()) {
    if (node.op == Op::input) continue;
    const std::size_t count = node.outputs.size();
    Node candidate = take(node);
    candidate.graph = &result;
    for (Value& input : candidate.inputs) input = moved(input);
    result.set_path(candidate.path);
    std::vector<Value> replacement = rewrite(result, candidate);
    if (replacement.empty()) {
      Node* made = copy_node(result, std::move(candidate)).node();
      for (std::uint32_t i = 0; i < count; ++i) replacement.push_back(made->out(i));
    }
    results[node.id] = std::move(replacement);
  }
  result.set_path({});
  for (const auto& [name, value] : graph.outputs())
    result.output(name, rewrite_output ? rewrite_output(name, moved(value)) : moved(value));
  return result;
}

std::vector<Value> keep(Graph& /*graph*/, const Node& /*node*/) { return {}; }

}  // namespace

Graph with_outputs(Graph graph, const RewriteOutput& rewrite) {
  return rebuild_from(graph, keep, [](Node& node) { return std::move(node); }, rewrite);
}

Graph copy(const Graph& graph) { return rebuild(graph, keep); }

std::vector<int> uses_of(const Graph& graph) {
  std::vector<int> uses(graph.nodes().size());
  for (const Node& node : graph.nodes()) {
    for (const Value& input : node.inputs) {
      if (input) ++uses[input.node()->id];
    }
  }
  for (const auto& [name, value] : graph.outputs()) ++uses[value.node()->id];
  return uses;
}

Value copy_node(Graph& graph, Node node) {
  if (node.op == Op::weight) return graph.weight_as_is(node.weight);
  return graph.add(node.op, std::move(node.inputs), std::move(node.attrs), std::move(node.outputs)).out();
}

Graph rebuild(Graph&& graph, const Rewrite& rewrite) {
  return rebuild_from(graph, rewrite, [](Node& node) { return std::move(node); });
}

Graph rebuild(const Graph& graph, const Rewrite& rewrite) {
  return rebuild_from(graph, rewrite, [](const Node& node) { return node; });
}

}  // namespace onnxport::pass
