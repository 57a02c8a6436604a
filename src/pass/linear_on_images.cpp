#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/elementwise.h"
#include "pass/passes.h"
#include "pass/permutation.h"
#include "pass/pointwise.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

const Axes kFirst = {0, 3, 1, 2};  // moves channels from the last axis to the one after the batch
const Axes kLast = {0, 2, 3, 1};   // and back

bool is_permute(const Value& value, const Axes& axes) {
  return value.node()->op == Op::permute && axes_of(value) == axes;
}

// Skips a reshape that keeps the last axis, if there is one.
Value through_reshape(const Value& value) {
  const bool rows = value.node()->op == Op::reshape && value.node()->inputs[0].dim(-1) == value.dim(-1);
  return rows ? value.node()->inputs[0] : value;
}

bool is_linear(const Node& node) {
  return node.op == Op::linear && is_weight(node.inputs[1]) && !is_coded(node.inputs[1]) &&
         (!node.inputs[2] || (is_weight(node.inputs[2]) && node.inputs[2].rank() == 1));
}

bool widens(const Node& linear) {
  return *linear.inputs[1].dim(0).constant() >= *linear.inputs[1].dim(1).constant();
}

class Rewriter {
 public:
  explicit Rewriter(const Graph& graph) : uses_(uses_of(graph)) {}

  std::vector<Value> operator()(Graph& result, const Node& node) {
    std::vector<Value> values = rewritten(node);
    if (values.empty() && node.outputs.size() == 1) values = {copy_node(result, node)};
    if (!values.empty()) count(values[0], uses_[node.id]);
    return values;
  }

 private:
  // The number of readers of a value in the new graph that represents one of the old graph.
  void count(const Value& made, int readers) {
    const std::uint32_t id = made.node()->id;
    if (id >= readers_.size()) readers_.resize(id + 1);
    readers_[id] += readers;
  }
  bool read_once(const Value& value) const {
    return value.node()->id < readers_.size() && readers_[value.node()->id] == 1;
  }

  std::vector<Value> rewritten(const Node& node) const {
    if (node.op == Op::permute && node.outputs[0].shape.size() == 4) {
      const Axes& axes = axes_of(node);
      if (axes == kFirst) return tokens_to_image(node.inputs[0]);
      if (axes == kLast) return tokens_of_image(node);
    }
    return is_linear(node) ? image_to_tokens(node) : std::vector<Value>();
  }

  // An image made from the result of a linear layer: the layer moves after the permutation.
  std::vector<Value> tokens_to_image(const Value& tokens) const {
    const Value rows = through_reshape(tokens);
    const Node& linear = *rows.node();
    if (!is_linear(linear) || !widens(linear) || !read_once(tokens) || !read_once(rows)) return {};
    Shape shape = tokens.shape();
    shape.back() = linear.inputs[0].dim(-1);
    const ModulePath path(tokens, linear.path);
    const Value narrow = permuted(reshaped(linear.inputs[0], shape), kFirst);
    return {pointwise(narrow, linear.inputs[1].node()->weight, linear.inputs[2])};
  }

  // A linear layer on the channels of an image after elementwise ops: it moves before the permutation.
  std::vector<Value> image_to_tokens(const Node& linear) const {
    if (widens(linear)) return {};
    std::vector<const Node*> functions;
    Value x = linear.inputs[0];
    while (x.node()->inputs.size() == 1 && is_elementwise(x.node()->op) && read_once(x)) {
      functions.push_back(x.node());
      x = x.node()->inputs[0];
    }
    const Value tokens = through_reshape(x);
    if (!is_permute(tokens, kLast) || !read_once(tokens) || !read_once(x)) return {};
    Value image = tokens.node()->inputs[0];
    for (auto function = functions.rbegin(); function != functions.rend(); ++function) {
      const ModulePath path(image, (*function)->path);
      image = op::detail::make(image.graph(), (*function)->op, {image}, (*function)->attrs).out();
    }
    const Value mixed = pointwise(image, linear.inputs[1].node()->weight, linear.inputs[2]);
    return {reshaped(permuted(mixed, kLast), linear.outputs[0].shape)};
  }

  // A 1 x 1 convolution between two permutations is a linear layer.
  std::vector<Value> tokens_of_image(const Node& permute) const {
    const Value image = permute.inputs[0];
    const Node& conv = *image.node();
    if (!is_pointwise(conv) || !is_permute(conv.inputs[0], kFirst) || !read_once(image)) return {};
    const ModulePath path(image, conv.path);
    const Value matrix = image.graph().weight_as_is(matrix_of(conv));
    return {op::linear(conv.inputs[0].node()->inputs[0], matrix, conv.inputs[2])};
  }

  static Value reshaped(const Value& x, const Shape& shape) {
    if (x.shape() == shape) return x;
    const bool again = x.node()->op == Op::reshape && x.node()->inputs[0].shape() == shape;
    return again ? x.node()->inputs[0] : op::reshape(x, shape);
  }

  const std::vector<int> uses_;  // by the id of a node in the old graph
  std::vector<int> readers_;     // and in the new one; 0: unknown
};

}  // namespace

Graph linear_on_images(Graph graph) {
  const auto may_fit = [](const Node& node) {
    return node.op == Op::permute && (axes_of(node) == kFirst || axes_of(node) == kLast);
  };
  if (std::none_of(graph.nodes().begin(), graph.nodes().end(), may_fit)) return graph;
  Rewriter rewriter(graph);
  return remove_dead(
      rebuild(std::as_const(graph), [&](Graph& result, const Node& node) { return rewriter(result, node); }));
}

}  // namespace onnxport::pass
