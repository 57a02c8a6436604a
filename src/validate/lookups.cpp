#include "validate/lookups.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "onnxport/dim.h"
#include "onnxport/ops.h"

namespace onnxport::validate {
namespace {

using Bound = std::optional<std::int64_t>;

/// The largest value that each integer of a graph may have, if that is known. None is assumed to be negative.
class Bounds {
 public:
  /// Notes the extents and values of an input.
  void note(const Value& input, const Tensor& tensor) {
    const Shape& shape = input.shape();
    for (std::size_t i = 0; i < shape.size() && i < tensor.shape.size(); ++i) {
      if (shape[i].is_symbol()) lengths_.emplace(shape[i].str(), tensor.shape[i]);
    }
    if (!is_integer(tensor.dtype) && tensor.dtype != DType::boolean) return;
    if (const Bound bound = largest(tensor.to_ints())) largest_[input.node()] = *bound;
  }

  /// Notes the bound of the node's first result. Returns false if the node looks for a row that does not
  /// exist.
  bool visit(const Node& node) {
    if (node.outputs.empty()) return true;
    if (const Bound bound = bound_of(node)) largest_[&node] = *bound;
    if (node.op == Op::embedding) {
      const Bound last = of(node.inputs[1]);
      return !last || *last < length(node.inputs[0].dim(0)).value_or(*last + 1);
    }
    if (node.op == Op::slice) {
      const Bound end = length(node.attrs.get<Shape>("range")[1]);
      return !end || *end <= length(node.inputs[0].dim(node.attrs.integer("axis"))).value_or(*end);
    }
    return true;
  }

 private:
  Bound of(const Value& value) const {
    const auto found = value && value.index() == 0 ? largest_.find(value.node()) : largest_.end();
    return found == largest_.end() ? Bound() : found->second;
  }

  Bound length(const Dim& dim) const {
    for (const std::string& symbol : dim.symbols()) {
      if (!lengths_.contains(symbol)) return {};
    }
    return dim.evaluate(lengths_);
  }

  Bound both(const Node& node, std::int64_t (*combine)(std::int64_t, std::int64_t)) const {
    const Bound a = of(node.inputs[0]), b = of(node.inputs[1]);
    return a && b ? combine(*a, *b) : Bound();
  }

  Bound bound_of(const Node& node) const {
    if (node.outputs[0].dtype == DType::boolean) return 1;
    if (!is_integer(node.outputs[0].dtype)) return {};
    switch (node.op) {
      case Op::weight:
        return node.weight.numel() <= kSmall ? largest(node.weight.to_ints()) : Bound();
      case Op::arange:
        if (const Bound end = length(node.attrs.get<Shape>("range")[1])) return *end - 1;
        return {};
      case Op::size:
        return length(node.attrs.get<Shape>("dim")[0]);
      case Op::cumsum: {
        const Bound one = of(node.inputs[0]), count = length(node.inputs[0].dim(node.attrs.integer("axis")));
        return one && count ? *one * *count : Bound();
      }
      case Op::add:
        return both(node, [](std::int64_t a, std::int64_t b) { return a + b; });
      case Op::sub:  // of a number: how much is subtracted elsewhere is unknown
        if (node.inputs[1].node()->op != Op::weight) return of(node.inputs[0]);
        return both(node, [](std::int64_t a, std::int64_t b) { return a - b; });
      case Op::mul:
        return both(node, [](std::int64_t a, std::int64_t b) { return a * b; });
      case Op::cast:
      case Op::reshape:
      case Op::permute:
      case Op::expand:
      case Op::slice:
        return of(node.inputs[0]);
      default:
        return {};
    }
  }

  static Bound largest(const std::vector<std::int64_t>& values) {
    return values.empty() ? Bound() : *std::max_element(values.begin(), values.end());
  }

  static constexpr std::int64_t kSmall = 4096;  // elements of a weight that are looked at
  DimBindings lengths_;
  std::unordered_map<const Node*, std::int64_t> largest_;
};

}  // namespace

bool finds_all_rows(const Graph& graph, const NamedTensors& inputs) {
  Bounds bounds;
  for (const auto& [name, value] : graph.inputs()) {
    const Tensor* tensor = find(inputs, name);
    if (tensor != nullptr) bounds.note(value, *tensor);
  }
  for (const Node& node : graph.nodes()) {
    if (node.op != Op::input && !bounds.visit(node)) return false;
  }
  return true;
}

}  // namespace onnxport::validate
