/// What passes are made of: a new graph from an old one, node by node.
#pragma once

#include <functional>
#include <vector>

#include "onnxport/graph.h"

namespace onnxport::pass {

/// Replaces one node: is given the new graph and the node with its operands already in it (its id is still
/// the old one), and returns the values that take the place of its results, or nothing to keep the node as it
/// is.
using Rewrite = std::function<std::vector<Value>(Graph& graph, const Node& node)>;

/// Makes a graph of the nodes of `graph`, asking `rewrite` at every one but the inputs. Paths and weights are
/// kept. The nodes are moved: of the old graph, `rewrite` may look at nothing but ids.
Graph rebuild(Graph&& graph, const Rewrite& rewrite);
/// The same with copies, for those who look at the old graph meanwhile.
Graph rebuild(const Graph& graph, const Rewrite& rewrite);

/// How often the results of each node are read, by its id: by other nodes, and as outputs of the graph.
std::vector<int> uses_of(const Graph& graph);

/// Adds one node (its operands are in `graph` already).
Value copy_node(Graph& graph, Node node);

}  // namespace onnxport::pass
