/// The passes over the semantic graph. Each takes a graph and returns a better one. None of them knows an
/// architecture.
#pragma once

#include <functional>
#include <vector>

#include "onnxport/graph.h"

namespace onnxport::pass {

/// Turns arithmetic on weights alone into one lazy weight expression, which is evaluated when the file is
/// written.
Graph fold_weights(Graph graph);

/// Merges nodes that compute the same from the same operands.
Graph merge_common(Graph graph);

/// Merges weights with equal bytes, such as tied weights that the checkpoint stores twice. Compares them
/// before casts and permutations, which must be the same, and reads only candidates with equal dtype, shape
/// and first bytes.
Graph merge_weights(Graph graph);

/// Drops nodes that no output needs. Inputs stay.
Graph remove_dead(Graph graph);

/// Computes only the slice of an axis that is used, such as the first token for a classifier. Moves slices up
/// through ops that work on each element, row or query separately.
Graph narrow(Graph graph);

/// Folds a factor after a linear layer or a convolution, and a summand after it, into weight and bias: one
/// number, or one per output channel (a learned scale, a norm with recorded statistics). Not if the weight
/// has other readers that need the original.
Graph fold_scale(Graph graph);

/// Turns a linear layer on tokens that come from an image, or become one, into a 1 x 1 convolution if the
/// permutation then moves fewer channels. Turns such a convolution between two permutations into a linear
/// layer.
Graph linear_on_images(Graph graph);

/// Moves a 1 x 1 convolution before an interpolation, or a concat of interpolations, where the image is
/// smaller. This is exact, because both are linear and resampled constants stay constant.
Graph before_resizing(Graph graph);

/// Combines two successive 1 x 1 convolutions if one is less work. Its weight is their product.
Graph compose_pointwise(Graph graph);

/// Moves permutations after elementwise ops with two operands if this saves one, until two of them meet and
/// cancel.
Graph sink_permutes(Graph graph);

/// Turns a sum over the pixels of an image with the channels last into a product with ones. For one image,
/// ONNX Runtime takes up to nine times as long to sum over an axis before the last; for eight images, the
/// time is equal.
Graph sum_by_product(Graph graph);

/// Splits a permutation that moves the last axis and others, before a reshape, into one of rows and one that
/// moves a single axis. ONNX Runtime has a fast path for both of them, and copies single elements for the
/// whole.
Graph split_permutes(Graph graph);

/// Turns the larger of x and slope * x, with a slope from 0 to 1, into a `relu` with the attribute `slope`.
/// ONNX Runtime fuses LeakyRelu with the convolution before it.
Graph leaky_relu(Graph graph);

/// Makes the ops that replace a node, and returns its results.
using Expansion = std::vector<Value> (*)(const Node& node);
/// Expands nodes until `expansion_of` returns null for all that are left.
Graph legalize(Graph graph, const std::function<Expansion(const Node&)>& expansion_of);

/// Turns `linear` on [batch, …, in] into `linear` on [rows, in] between two reshapes. Moves the reshapes
/// through ops that work row by row, until they meet and cancel.
Graph flatten_linear(Graph graph);

/// Makes a residual the bias of the `linear` without bias that it is added to, which saves a node. For
/// matrices, after flatten_linear.
Graph add_into_linear(Graph graph);

/// Turns the bias of a `linear` before `gelu` into an `add`. ONNX Runtime fuses the add with gelu, while Gemm
/// first fills its result with the bias, which takes 5 % of the total time for 96 input features, and little
/// from 400 on.
Graph bias_for_gelu(Graph graph);

/// Combines a sum and the norm after it into add_layer_norm or add_rms_norm, with the bias of the `linear`
/// that computed one of the addends. Only if `native` is true for the new node.
Graph fuse_residual_norm(Graph graph, const std::function<bool(const Node&)>& native);

/// Moves the bias of a `linear` before `gelu` into bias_gelu.
Graph fuse_bias_gelu(Graph graph);

/// The passes that need no target, in order.
Graph simplify(Graph graph);

}  // namespace onnxport::pass
