/// What passes are made of: a new graph from an old one, node by node.
#pragma once

#include <functional>
#include <vector>

#include "onnxport/graph.h"

namespace onnxport::pass {

/// Replaces one node: is given the new graph and the node with its operands already in it, and returns the
/// values that take the place of its results, or nothing to keep the node as it is.
using Rewrite = std::function<std::vector<Value>(Graph& graph, const Node& node)>;

/// Copies `graph`, asking `rewrite` at every node but the inputs. Paths and weights are kept.
Graph rebuild(const Graph& graph, const Rewrite& rewrite);

/// Copies one node (its operands are in `graph` already).
Value copy_node(Graph& graph, Node node);

}  // namespace onnxport::pass
