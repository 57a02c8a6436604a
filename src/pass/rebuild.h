/// The basis of passes: makes a new graph from an old one, node by node.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "onnxport/graph.h"

namespace onnxport::pass {

/// Replaces one node. It gets the new graph and the node, whose operands are already in the new graph (its id
/// is still the old one). It returns the values that replace the node's results, or nothing to keep the node.
using Rewrite = std::function<std::vector<Value>(Graph& graph, const Node& node)>;

/// Makes a new graph from the nodes of `graph`, and calls `rewrite` for each except inputs. Keeps paths and
/// weights. Nodes are moved, so `rewrite` may use only ids of the old graph.
Graph rebuild(Graph&& graph, const Rewrite& rewrite);
/// The same with copies, for passes that use the old graph meanwhile.
Graph rebuild(const Graph& graph, const Rewrite& rewrite);

/// Replaces an output of this name, in the new graph.
using RewriteOutput = std::function<Value(const std::string& name, Value value)>;
/// The same nodes with other outputs.
Graph with_outputs(Graph graph, const RewriteOutput& rewrite);

/// The same graph again.
Graph copy(const Graph& graph);

/// How often the results of each node are read, by other nodes and as outputs of the graph; by the node's id.
std::vector<int> uses_of(const Graph& graph);

/// Adds one node, whose operands are already in `graph`.
Value copy_node(Graph& graph, Node node);

}  // namespace onnxport::pass
