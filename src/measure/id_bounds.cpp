#include "measure/id_bounds.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace onnxport::measure {
namespace {

/// Values of a graph and of the graphs around it.
struct Known {
  std::map<std::string, std::string> ids;    ///< values that hold the numbers of an input: its name
  std::map<std::string, std::int64_t> rows;  ///< tables, and how many rows they have
};

template <std::size_t N>
bool is_one_of(std::string_view op, const std::array<std::string_view, N>& ops) {
  return std::ranges::find(ops, op) != ops.end();
}

class Bounds {
 public:
  void visit(const GraphSummary& graph, Known known) {
    for (const InitializerSummary& one : graph.initializers) {
      if (!one.shape.empty()) known.rows[one.name] = one.shape.front();
    }
    for (const NodeSummary& node : graph.nodes) {
      visit(node, known);
      for (const SubgraphSummary& inner : node.graphs) visit(inner.graph, known);
    }
  }

  std::map<std::string, std::int64_t> found;

 private:
  void visit(const NodeSummary& node, Known& known) {
    // The numbers stay, in another type or shape.
    static constexpr std::array<std::string_view, 7> kKeepsNumbers = {
        "Cast", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity", "Transpose"};
    static constexpr std::array<std::string_view, 3> kKeepsRows = {"Cast", "DequantizeLinear", "Identity"};
    if (node.inputs.empty() || node.outputs.empty()) return;
    if (is_one_of(node.op_type, kKeepsNumbers)) {
      if (const auto ids = known.ids.find(node.inputs.front()); ids != known.ids.end())
        known.ids[node.outputs.front()] = ids->second;
    }
    if (is_one_of(node.op_type, kKeepsRows)) {
      if (const auto rows = known.rows.find(node.inputs.front()); rows != known.rows.end())
        known.rows[node.outputs.front()] = rows->second;
    }
    if (node.op_type == "Gather" || node.op_type == "GatherBlockQuantized") {
      const auto axis = std::ranges::find(node.integers, node.op_type == "Gather" ? "axis" : "gather_axis",
                                          [](const auto& one) { return one.first; });
      if (axis == node.integers.end() || axis->second == 0) look_up(node, 0, 1, known);
    } else if (node.op_type == "EmbedLayerNormalization") {  // tokens, segments, and their tables
      look_up(node, 2, 0, known);
      look_up(node, 4, 1, known);
    }
  }

  void look_up(const NodeSummary& node, std::size_t table, std::size_t index, const Known& known) {
    if (std::max(table, index) >= node.inputs.size()) return;
    const auto rows = known.rows.find(node.inputs[table]);
    const auto ids = known.ids.find(node.inputs[index]);
    if (rows == known.rows.end() || ids == known.ids.end()) return;
    const auto [place, added] = found.try_emplace(ids->second, rows->second);
    if (!added) place->second = std::min(place->second, rows->second);
  }
};

}  // namespace

std::map<std::string, std::int64_t> id_bounds(const GraphSummary& graph) {
  Known known;
  for (const ValueSummary& input : graph.inputs) known.ids[input.name] = input.name;
  Bounds bounds;
  bounds.visit(graph, known);
  return bounds.found;
}

}  // namespace onnxport::measure
