#include <numeric>

#include "onnxport/index_ops.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "onnxport/signal_ops.h"
#include "op/infer.h"

namespace onnxport::op {

using detail::from_front;
using detail::make;

Value size(Graph& graph, const Dim& dim) { return make(graph, Op::size, {}, {{"dim", Shape{dim}}}).out(); }

Value arange(Graph& graph, const Dim& n, const Dim& start) {
  return make(graph, Op::arange, {}, {{"range", Shape{start, start + n}}}).out();
}
Value arange(Value count, const Dim& symbol) {
  return make(count.graph(), Op::arange, {count}, {{"range", Shape{0, symbol}}}).out();
}

Value nonzero(Value mask, const Dim& symbol) {
  return make(mask.graph(), Op::nonzero, {mask}, {{"shape", Shape{symbol}}}).out();
}

Value reshape(Value x, Shape shape) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != Dim(-1)) continue;
    Shape rest = shape;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    if (const std::optional<Dim> quotient = numel(x.shape()).exact_div(numel(rest))) shape[i] = *quotient;
    break;
  }
  if (shape == x.shape()) return x;
  return make(x.graph(), Op::reshape, {x}, {{"shape", std::move(shape)}}).out();
}

Value flatten(Value x, std::int64_t start, std::int64_t end) {
  start = from_front(start, x.rank());
  end = from_front(end, x.rank());
  Shape shape;
  for (std::int64_t axis = 0; axis < x.rank(); ++axis) {
    if (axis > start && axis <= end) {
      shape.back() = shape.back() * x.dim(axis);
    } else {
      shape.push_back(x.dim(axis));
    }
  }
  return reshape(x, std::move(shape));
}

Value permute(Value x, std::vector<std::int64_t> axes) {
  for (std::int64_t& axis : axes) axis = from_front(axis, x.rank());
  bool identity = static_cast<std::int64_t>(axes.size()) == x.rank();
  for (std::size_t i = 0; i < axes.size(); ++i)
    identity = identity && axes[i] == static_cast<std::int64_t>(i);
  if (identity) return x;
  if (x.node()->op == Op::permute && axes.size() == x.shape().size()) {
    // Two permutations are one.
    const auto& inner = x.node()->attrs.get<std::vector<std::int64_t>>("axes");
    bool valid = true;
    for (std::int64_t& axis : axes) {
      valid = valid && axis >= 0 && axis < x.rank();
      if (valid) axis = inner[static_cast<std::size_t>(axis)];
    }
    if (valid) return permute(x.node()->inputs[0], std::move(axes));
  }
  return make(x.graph(), Op::permute, {x}, {{"axes", std::move(axes)}}).out();
}

Value transpose(Value x, std::int64_t axis0, std::int64_t axis1) {
  static_cast<void>(x.dim(axis0));  // out of range is an error here, before the swap
  static_cast<void>(x.dim(axis1));
  std::vector<std::int64_t> axes(static_cast<std::size_t>(x.rank()));
  std::iota(axes.begin(), axes.end(), 0);
  std::swap(axes[static_cast<std::size_t>(from_front(axis0, x.rank()))],
            axes[static_cast<std::size_t>(from_front(axis1, x.rank()))]);
  return permute(x, std::move(axes));
}

Value unsqueeze(Value x, std::int64_t axis) {
  Shape shape = x.shape();
  axis = from_front(axis, x.rank() + 1);
  if (axis < 0 || axis > x.rank()) {
    throw ExportError(ErrorCode::shape,
                      fmt::format("unsqueeze: axis is out of range for {}", to_string(x.type())));
  }
  shape.insert(shape.begin() + axis, Dim(1));
  return reshape(x, std::move(shape));
}

Value squeeze(Value x, std::int64_t axis) {
  if (x.dim(axis) != Dim(1)) {
    throw ExportError(ErrorCode::shape,
                      fmt::format("squeeze: axis {} of {} is not 1", axis, to_string(x.type())));
  }
  Shape shape = x.shape();
  shape.erase(shape.begin() + from_front(axis, x.rank()));
  return reshape(x, std::move(shape));
}

Value expand(Value x, Shape shape) {
  if (shape == x.shape()) return x;
  return make(x.graph(), Op::expand, {x}, {{"shape", std::move(shape)}}).out();
}

Value concat(std::vector<Value> parts, std::int64_t axis) {
  if (parts.empty()) throw ExportError(ErrorCode::shape, "concat: no operands");
  if (parts.size() == 1) return parts[0];
  Graph& graph = parts[0].graph();
  const std::int64_t rank = parts[0].rank();
  return make(graph, Op::concat, std::move(parts), {{"axis", from_front(axis, rank)}}).out();
}

Value slice(Value x, std::int64_t axis, Dim begin, Dim end) {
  const Dim extent = x.dim(axis);
  const auto absolute = [&](const Dim& at) {
    return at.is_constant() && *at.constant() < 0 ? extent + at : at;
  };
  begin = absolute(begin);
  end = absolute(end);
  if (begin == Dim(0) && end == extent) return x;
  return make(x.graph(), Op::slice, {x}, {{"axis", from_front(axis, x.rank())}, {"range", Shape{begin, end}}})
      .out();
}

Value tail(Value x, std::int64_t axis, Value count, const Dim& symbol) {
  return make(x.graph(), Op::tail, {x, count}, {{"axis", axis}, {"shape", Shape{symbol}}}).out();
}

std::vector<Value> split(Value x, std::int64_t axis, const std::vector<std::int64_t>& sizes) {
  if (sizes.size() == 1) return {x};
  Node& node = make(x.graph(), Op::split, {x}, {{"axis", from_front(axis, x.rank())}, {"sizes", sizes}});
  std::vector<Value> parts;
  for (std::uint32_t i = 0; i < sizes.size(); ++i) parts.push_back(node.out(i));
  return parts;
}

std::vector<Value> chunk(Value x, std::int64_t axis, std::int64_t parts) {
  const std::optional<std::int64_t> extent = x.dim(axis).constant();
  if (!extent || parts < 1 || *extent % parts != 0) {
    throw ExportError(ErrorCode::shape, fmt::format("chunk: axis {} of {} is not {} equal parts", axis,
                                                    to_string(x.type()), parts));
  }
  return split(x, axis, std::vector<std::int64_t>(static_cast<std::size_t>(parts), *extent / parts));
}

Value select(Value x, std::int64_t axis, std::int64_t index) {
  const Dim at = index < 0 ? x.dim(axis) + index : Dim(index);
  const Value one = slice(x, axis, at, at + 1);
  return squeeze(one, axis);
}

namespace detail {

Types infer_size(const Node& /*node*/) { return {{DType::i64, {}}}; }

Types infer_arange(const Node& node) {
  const Shape& range = node.attrs.get<Shape>("range");
  const Shape shape = {range[1] - range[0]};
  if (!node.inputs.empty()) {
    const TensorType& count = operand(node, 0);
    if (count.dtype != DType::i64 || !count.shape.empty() || !range[1].is_symbol())
      reject(node, "{} elements as {}, expected a scalar int64 as a symbol", to_string(count),
             range[1].str());
  }
  require_extents(node, shape);
  return {{DType::i64, shape}};
}

Types infer_nonzero(const Node& node) {
  const Shape& shape = node.attrs.get<Shape>("shape");
  const TensorType& mask = operand(node, 0);
  if (mask.dtype != DType::boolean || mask.shape.size() != 1 || !shape[0].is_symbol())
    reject(node, "places in {} as {}, expected a bool [N] and a symbol", to_string(mask), shape[0].str());
  return {{DType::i64, shape}};
}

Types infer_reshape(const Node& node) {
  const TensorType& x = operand(node, 0);
  const Shape& shape = node.attrs.get<Shape>("shape");
  require_extents(node, shape);
  if (numel(x.shape) != numel(shape)) {
    reject(node, "cannot make {} of {}: {} elements, expected {}", to_string(shape), to_string(x.shape),
           numel(x.shape).str(), numel(shape).str());
  }
  return {{x.dtype, shape}};
}

Types infer_permute(const Node& node) {
  const TensorType& x = operand(node, 0);
  const auto& axes = node.attrs.get<std::vector<std::int64_t>>("axes");
  std::vector<bool> seen(x.shape.size());
  Shape shape;
  for (const std::int64_t axis : axes) {
    const std::size_t at = normalized_axis(node, axis, x.shape.size());
    if (seen[at]) reject(node, "axis {} occurs twice", axis);
    seen[at] = true;
    shape.push_back(x.shape[at]);
  }
  if (axes.size() != x.shape.size()) reject(node, "{} axes for {}", axes.size(), to_string(x));
  return {{x.dtype, std::move(shape)}};
}

Types infer_expand(const Node& node) {
  const TensorType& x = operand(node, 0);
  const Shape& shape = node.attrs.get<Shape>("shape");
  require_extents(node, shape);
  if (broadcast(x.shape, shape) != shape)
    reject(node, "cannot expand {} to {}", to_string(x.shape), to_string(shape));
  return {{x.dtype, shape}};
}

Types infer_concat(const Node& node) {
  TensorType result = operand(node, 0);
  const std::size_t axis = normalized_axis(node, node.attrs.integer("axis"), result.shape.size());
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    const TensorType& part = operand(node, i);
    require_same_dtype(node, result, part);
    bool fits = part.shape.size() == result.shape.size();
    for (std::size_t a = 0; fits && a < result.shape.size(); ++a)
      fits = a == axis || part.shape[a] == result.shape[a];
    if (!fits)
      reject(node, "{} and {} differ outside axis {}", to_string(result.shape), to_string(part.shape), axis);
    result.shape[axis] = result.shape[axis] + part.shape[axis];
  }
  return {result};
}

Types infer_slice(const Node& node) {
  TensorType result = operand(node, 0);
  const std::size_t axis = normalized_axis(node, node.attrs.integer("axis"), result.shape.size());
  const Shape& range = node.attrs.get<Shape>("range");
  const Dim extent = range[1] - range[0];
  const Dim rest = result.shape[axis] - range[1];
  const auto negative = [](const Dim& dim) { return dim.is_constant() && *dim.constant() < 0; };
  if (negative(range[0]) || negative(extent) || negative(rest)) {
    reject(node, "range {} is outside axis {} of {}", to_string(range), axis, to_string(result.shape));
  }
  result.shape[axis] = extent;
  return {result};
}

Types infer_tail(const Node& node) {
  TensorType result = operand(node, 0);
  const TensorType& count = operand(node, 1);
  const Dim& extent = node.attrs.get<Shape>("shape").at(0);
  if (count.dtype != DType::i64 || !count.shape.empty() || !extent.is_symbol())
    reject(node, "the last {} elements as {}, expected a scalar int64 as a symbol", to_string(count),
           extent.str());
  result.shape[normalized_axis(node, node.attrs.integer("axis"), result.shape.size())] = extent;
  return {result};
}

Types infer_split(const Node& node) {
  const TensorType& x = operand(node, 0);
  const std::size_t axis = normalized_axis(node, node.attrs.integer("axis"), x.shape.size());
  Types parts;
  Dim rest = x.shape[axis];
  for (const std::int64_t size : node.attrs.get<std::vector<std::int64_t>>("sizes")) {
    parts.push_back(x);
    parts.back().shape[axis] = size;
    require_extents(node, parts.back().shape);
    rest = rest - size;
  }
  if (rest != Dim(0)) {
    reject(node, "sizes {} do not fill axis {} of {}", to_string(node.attrs.items()[1].second), axis,
           to_string(x.shape));
  }
  return parts;
}

}  // namespace detail
}  // namespace onnxport::op
