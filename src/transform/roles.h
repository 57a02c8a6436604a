/// The roles of layers, found in the structure of a graph, not in names.
#pragma once

#include <vector>

#include "onnxport/graph.h"

namespace onnxport::transform {

/// By node: whether it computes the routing of a mixture of experts, without a layer in between.
std::vector<bool> routers_of(const Graph& graph);

/// By node: the layers that k_quant_mixed gives 8 bits: the last one of the graph; and, in the first and the
/// last eighth of all blocks and in every third one between, the layer that makes the values of the attention
/// and the one that ends the feed-forward part. A block is an attention with the layers up to the next one.
std::vector<bool> mixed_layers_of(const Graph& graph);

}  // namespace onnxport::transform
