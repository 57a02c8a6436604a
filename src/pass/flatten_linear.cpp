#include <algorithm>
#include <utility>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/elementwise.h"
#include "pass/passes.h"
#include "pass/pointwise.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

// Works on each row of the last axis separately, so the leading axes may be merged.
bool is_rowwise(const Node& node) {
  const auto along_last = [&] {
    return node.attrs.integer("axis") == static_cast<std::int64_t>(node.outputs[0].shape.size()) - 1;
  };
  switch (node.op) {
    case Op::layer_norm:
    case Op::rms_norm:
      return true;
    case Op::softmax:
    case Op::normalize:
      return along_last();
    case Op::sum:
    case Op::mean:
    case Op::amax:
      return node.attrs.flag("keepdim") && along_last();
    default:
      return is_elementwise(node.op);
  }
}

Shape joined(const Shape& shape) { return {numel(Shape(shape.begin(), shape.end() - 1)), shape.back()}; }

// If a value is only a matrix with its rows spread over more axes: that matrix; else nothing.
Value matrix_behind(const Value& value) {
  if (!value || value.node()->op != Op::reshape || value.rank() < 3) return {};
  const Value source = value.node()->inputs[0];
  return source.shape() == joined(value.shape()) ? source : Value();
}

// Merges two adjacent reshapes into one or none.
Value reshaped(const Value& value, const Shape& shape) {
  const bool again = value.node()->op == Op::reshape;
  return op::reshape(again ? value.node()->inputs[0] : value, shape);
}

// The attributes with `axis` set to the last axis of a matrix.
Attrs with_last_axis(const Attrs& attrs) {
  std::vector<std::pair<std::string, Attr>> items = attrs.items();
  for (auto& [name, value] : items) {
    if (name == "axis") value = std::int64_t{1};
  }
  return Attrs(std::move(items));
}

// Splits or concatenates rows, if the matrices of all operands are available.
bool cuts_rows(const Node& node) {
  if (node.op != Op::split && node.op != Op::concat) return false;
  if (node.attrs.integer("axis") != static_cast<std::int64_t>(node.outputs[0].shape.size()) - 1) return false;
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [](const Value& input) { return matrix_behind(input); });
}

// Broadcasts along rows unchanged: a scalar, or a vector of the last axis.
bool fits_rows(const Value& value) { return !value || value.rank() <= 1; }

// Has the rows of `shape`, either whole or as one number each.
bool has_rows_of(const Value& value, const Shape& shape) {
  return value.rank() == static_cast<std::int64_t>(shape.size()) &&
         std::equal(shape.begin(), shape.end() - 1, value.shape().begin());
}

}  // namespace

Graph flatten_linear(Graph graph) {
  return rebuild(std::move(graph), [](Graph& result, const Node& node) -> std::vector<Value> {
    const Shape& shape = node.outputs[0].shape;
    if (node.op == Op::reshape) return {reshaped(node.inputs[0], shape)};
    if (shape.size() < 3) return {};
    if (node.op == Op::linear && is_coded(node.inputs[1])) return {};  // takes any number of rows
    if (node.op == Op::linear) {
      const Value x = node.inputs[0];
      const Value rows = reshaped(x, joined(x.shape()));
      const Value product = op::linear(rows, node.inputs[1], node.inputs[2]);
      return {op::reshape(product, shape)};
    }
    if (cuts_rows(node)) {
      std::vector<Value> matrices;
      for (const Value& input : node.inputs) matrices.push_back(matrix_behind(input));
      Node& cut = op::detail::make(result, node.op, std::move(matrices), with_last_axis(node.attrs));
      std::vector<Value> values;
      for (std::uint32_t i = 0; i < node.outputs.size(); ++i)
        values.push_back(op::reshape(cut.out(i), node.outputs[i].shape));
      return values;
    }
    if (!is_rowwise(node)) return {};
    bool any = false;
    for (const Value& input : node.inputs) {
      if (!fits_rows(input) && !has_rows_of(input, shape)) return {};
      any = any || matrix_behind(input);
    }
    if (!any) return {};
    std::vector<Value> operands;
    operands.reserve(node.inputs.size());
    for (const Value& input : node.inputs)
      operands.push_back(fits_rows(input) ? input : reshaped(input, joined(input.shape())));
    const Value product =
        op::detail::make(result, node.op, std::move(operands), with_last_axis(node.attrs)).out();
    return {op::reshape(product, shape)};
  });
}

}  // namespace onnxport::pass
