/// The passes over the semantic graph. Each takes a graph and returns a better one; none knows an
/// architecture.
#pragma once

#include <functional>
#include <vector>

#include "onnxport/graph.h"

namespace onnxport::pass {

/// Arithmetic on weights alone becomes one lazy weight expression, evaluated when the file is written.
Graph fold_weights(Graph graph);

/// Nodes that compute the same from the same operands are made once.
Graph merge_common(Graph graph);

/// Weights with equal bytes are stored once: tied weights that the checkpoint carries twice. Reads candidates
/// of equal dtype, shape and first bytes.
Graph merge_weights(Graph graph);

/// Nodes that no output needs are dropped. Inputs stay.
Graph remove_dead(Graph graph);

/// Where only a part of an axis is looked at, such as the first token for a classifier, what makes the rest
/// is not computed: slices move up through what works on each element, row or query alone.
Graph narrow(Graph graph);

/// A factor behind a linear layer or a convolution goes into its weight and bias: one number, or one for each
/// output channel, which a summand may follow (a learned scale, a norm by recorded statistics). Not where the
/// weight has other readers that would keep the original.
Graph fold_scale(Graph graph);

/// A linear layer on tokens that were an image, or that become one, is a convolution of one place where the
/// permutation then moves fewer channels; and such a convolution between two permutations is a linear layer.
Graph linear_on_images(Graph graph);

/// A convolution of one place behind an interpolation, or behind a concat of such, moves in front of it,
/// where there are fewer places: both are linear, and resampled constants stay.
Graph before_resizing(Graph graph);

/// Two convolutions of one place behind one another become one, where that is less work: its weight is their
/// product.
Graph compose_pointwise(Graph graph);

/// A permutation of axes moves behind an element-wise op on two operands where it saves one, until two meet
/// and cancel.
Graph sink_permutes(Graph graph);

/// A sum over the places of an image, with the channels behind them, becomes a product with ones. ONNX
/// Runtime takes up to nine times as long to sum an axis in front of the last one, for one image; for eight,
/// as long.
Graph sum_by_product(Graph graph);

/// The ops that take the place of a node: its results.
using Expansion = std::vector<Value> (*)(const Node& node);
/// Expands nodes until `expansion_of` gives null for all that are left.
Graph legalize(Graph graph, const std::function<Expansion(const Node&)>& expansion_of);

/// Rows of a batch are rows of a matrix: `linear` on [batch, …, in] becomes `linear` on [rows, in] between
/// two reshapes, and the reshapes move through what works row by row until they meet and cancel.
Graph flatten_linear(Graph graph);

/// What is added to the result of a `linear` without bias becomes its bias: a residual costs no node of its
/// own. For matrices, after flatten_linear.
Graph add_into_linear(Graph graph);

/// The bias of a `linear` in front of `gelu` becomes an `add` between the two. ONNX Runtime makes one step of
/// it and gelu, while Gemm first fills its result with the bias: 5 % of all time for 96 input features,
/// little from 400 on.
Graph bias_for_gelu(Graph graph);

/// A sum and the norm behind it become add_layer_norm or add_rms_norm, with the bias of a `linear` that gave
/// one of the addends; only where `native` holds for the new node.
Graph fuse_residual_norm(Graph graph, const std::function<bool(const Node&)>& native);

/// The bias of a `linear` in front of `gelu` moves into bias_gelu.
Graph fuse_bias_gelu(Graph graph);

/// The passes that need no target, in their order.
Graph simplify(Graph graph);

}  // namespace onnxport::pass
