#include "transform/module_region.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "onnxport/ops.h"
#include "support/text.h"

namespace onnxport::transform {
namespace {

void add_once(std::vector<Value>& values, const Value& value) {
  if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
}

// Whether the module is called more than once: then the same op of the same module uses each of its weights
// twice.
bool is_called_again(const Graph& graph, const ModuleRegion& region) {
  std::map<std::tuple<std::string_view, Op, std::uint32_t>, int> uses;
  for (const std::uint32_t id : region.nodes) {
    const Node& node = graph.nodes()[id];
    for (const Value& input : node.inputs) {
      if (input && input.node()->op == Op::weight && !input.node()->weight.name().empty())
        ++uses[{node.path, node.op, input.node()->id}];
    }
  }
  return !uses.empty() &&
         std::all_of(uses.begin(), uses.end(), [](const auto& use) { return use.second > 1; });
}

// Whether a node outside uses a result of the region and provides an operand to it.
bool is_interrupted(const Graph& graph, const std::vector<bool>& inside) {
  std::vector<bool> behind(inside.size());  // outside, but after the region
  for (const Node& node : graph.nodes()) {
    for (const Value& input : node.inputs) {
      if (!input) continue;
      const std::uint32_t from = input.node()->id;
      if (inside[node.id] && behind[from]) return true;
      if (!inside[node.id] && (inside[from] || behind[from])) behind[node.id] = true;
    }
  }
  return false;
}

void complete(const Graph& graph, ModuleRegion& region) {
  std::vector<bool> inside(graph.nodes().size());
  for (const std::uint32_t id : region.nodes) inside[id] = true;
  for (const std::uint32_t id : region.nodes) {
    for (const Value& input : graph.nodes()[id].inputs) {
      if (!input || inside[input.node()->id]) continue;
      add_once(input.node()->op == Op::weight ? region.weights : region.inputs, input);
    }
  }
  const auto leave = [&](const Value& value) {
    if (value && inside[value.node()->id]) add_once(region.outputs, value);
  };
  for (const Node& node : graph.nodes()) {
    if (!inside[node.id]) std::for_each(node.inputs.begin(), node.inputs.end(), leave);
  }
  for (const auto& [name, value] : graph.outputs()) leave(value);
  std::sort(region.outputs.begin(), region.outputs.end(), [](const Value& a, const Value& b) {
    return std::pair(a.node()->id, a.index()) < std::pair(b.node()->id, b.index());
  });
  if (is_called_again(graph, region)) {
    region.flaw = "is called more than once, expected one call";
  } else if (is_interrupted(graph, inside)) {
    region.flaw = "is not one piece: a node outside it takes its results and feeds it";
  }
}

}  // namespace

std::optional<std::string_view> module_at(std::string_view path, std::string_view pattern) {
  for (std::size_t end = path.find('.'); !path.empty(); end = path.find('.', end + 1)) {
    const std::string_view module = path.substr(0, end);
    if (text::glob_match(pattern, module)) return module;
    if (end == path.npos) break;
  }
  return {};
}

std::vector<ModuleRegion> regions_at(const Graph& graph, std::string_view pattern) {
  std::vector<ModuleRegion> regions;
  std::map<std::string_view, std::size_t> by_path;
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::weight || node.op == Op::input) continue;
    const std::optional<std::string_view> module = module_at(node.path, pattern);
    if (!module) continue;
    const auto [found, is_new] = by_path.try_emplace(*module, regions.size());
    if (is_new) regions.emplace_back().path = *module;
    regions[found->second].nodes.push_back(node.id);
  }
  for (ModuleRegion& region : regions) complete(graph, region);
  return regions;
}

}  // namespace onnxport::transform
