#include "onnxport/weight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "ir/weight_expr.h"
#include "onnxport/tensor.h"
#include "support/convert.h"
#include "support/fail.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

/// Fills in derived members. The shape is already checked.
std::shared_ptr<const WeightExpr> finish(WeightExpr expr) {
  expr.numel = std::accumulate(expr.shape.begin(), expr.shape.end(), std::int64_t{1}, std::multiplies<>());
  expr.fingerprint = fmt::format("{}[{}] {}", short_name(expr.source->dtype()), fmt::join(expr.shape, ","),
                                 expr.source->text());
  return std::make_shared<const WeightExpr>(std::move(expr));
}

}  // namespace

const WeightExpr& WeightExpr::of(const Weight& weight) {
  if (!weight) fail(ErrorCode::internal, "an empty weight was used");
  return *weight.expr_;
}

Weight WeightExpr::wrap(WeightExpr expr) { return Weight(finish(std::move(expr))); }

}  // namespace detail

namespace {

using detail::Arithmetic;
using detail::Dims;
using detail::WeightExpr;
using Kind = WeightExpr::Kind;

std::string describe(const WeightExpr& expr) {
  const std::string what = expr.name.empty() ? "unnamed weight" : fmt::format("weight '{}'", expr.name);
  return fmt::format("{} {}{}", what, to_string(expr.source->dtype()), text::shape_text(expr.shape));
}

/// Number of elements of a weight. Refuses shapes that are too large for any file, so byte counts never
/// overflow.
std::int64_t checked_count(const Dims& shape) {
  const auto count = element_count(shape);
  if (!count || *count > (std::numeric_limits<std::int64_t>::max() >> 3)) {
    fail(ErrorCode::shape, "a weight cannot have shape {}", text::shape_text(shape));
  }
  return *count;
}

/// Checks an axis, which may count from the end.
std::size_t normalize_axis(std::int64_t axis, const WeightExpr& expr) {
  const auto rank = static_cast<std::int64_t>(expr.shape.size());
  if (axis < -rank || axis >= rank) fail(ErrorCode::shape, "{} has no axis {}", describe(expr), axis);
  return static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
}

/// The name of a transformed weight. It is empty if the input has no name.
std::string with_suffix(const std::string& name, std::string_view suffix) {
  return name.empty() ? std::string() : fmt::format("{}.{}", name, suffix);
}

Weight make_constant(DType dtype, Dims shape, std::vector<std::byte> bytes, std::string name) {
  auto shared = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  return WeightExpr::wrap({.source = detail::make_constant(dtype, std::move(shared)),
                           .shape = std::move(shape),
                           .name = std::move(name),
                           .kind = Kind::constant});
}

/// A transform of `inputs`. Computed at once if it is empty, or small and made only of constants.
Weight make_transform(WeightExpr expr, std::initializer_list<const WeightExpr*> inputs) {
  constexpr std::int64_t kSmall = 64 * 1024;  // bytes
  const std::int64_t bytes = checked_count(expr.shape) * expr.source->element_size();
  const bool constant = std::all_of(inputs.begin(), inputs.end(),
                                    [](const WeightExpr* w) { return w->kind == Kind::constant; });
  const bool compute = bytes == 0 || (constant && bytes < kSmall);
  if (!compute) return WeightExpr::wrap(std::move(expr));
  std::vector<std::byte> data(static_cast<std::size_t>(bytes));
  if (bytes != 0) expr.source->read(0, bytes / expr.source->element_size(), data.data());
  return make_constant(expr.source->dtype(), std::move(expr.shape), std::move(data), std::move(expr.name));
}

/// `expr` with another shape of equally many elements. The source of its bytes and its name stay the same.
Weight with_shape(WeightExpr expr, Dims shape) {
  expr.shape = std::move(shape);
  if (expr.view) expr.view->shape = expr.shape;
  if (expr.kind == Kind::permute) expr.kind = Kind::other;  // its axes are those of the old shape
  return WeightExpr::wrap(std::move(expr));
}

Weight arithmetic(Arithmetic op, const Weight& left, const Weight& right) {
  const WeightExpr& a = WeightExpr::of(left);
  const WeightExpr& b = WeightExpr::of(right);
  const DType dtype = a.source->dtype();
  const auto refuse = [&](std::string_view why) {
    fail(ErrorCode::shape, "cannot {} {} and {}: {}", to_string(op), describe(a), describe(b), why);
  };
  if (dtype != b.source->dtype()) refuse("their dtypes differ");
  if (dtype == DType::boolean) refuse("bool has no arithmetic");
  Dims shape(std::max(a.shape.size(), b.shape.size()));
  for (std::size_t i = 1; i <= shape.size(); ++i) {
    const std::int64_t x = i <= a.shape.size() ? a.shape[a.shape.size() - i] : 1;
    const std::int64_t y = i <= b.shape.size() ? b.shape[b.shape.size() - i] : 1;
    if (x != y && x != 1 && y != 1) refuse("their shapes do not broadcast");
    shape[shape.size() - i] = x == 1 ? y : x;
  }
  checked_count(shape);
  auto source = detail::make_arithmetic(op, a.source, a.shape, b.source, b.shape, shape);
  return make_transform({.source = std::move(source),
                         .shape = std::move(shape),
                         .name = with_suffix(a.name.empty() ? b.name : a.name, to_string(op))},
                        {&a, &b});
}

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

std::int64_t TensorView::numel() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

Weight::Weight(TensorView view) {
  checked_count(view.shape);
  auto source = detail::make_view(view);
  *this = WeightExpr::wrap(
      {.source = std::move(source), .shape = view.shape, .name = view.key, .kind = Kind::view, .view = view});
}

Weight Weight::constant(DType dtype, std::vector<std::int64_t> shape, std::vector<std::byte> bytes,
                        std::string name) {
  const auto expected = static_cast<std::size_t>(checked_count(shape)) * size_of(dtype);
  if (bytes.size() != expected) {
    fail(ErrorCode::shape, "{} bytes given for constant '{}' {}{}, expected {}", bytes.size(), name,
         to_string(dtype), text::shape_text(shape), expected);
  }
  return make_constant(dtype, std::move(shape), std::move(bytes), std::move(name));
}

Weight Weight::from_doubles(DType dtype, std::vector<std::int64_t> shape, std::span<const double> values,
                            std::string name) {
  Tensor tensor = Tensor::from_doubles(dtype, std::move(shape), values);
  return make_constant(dtype, std::move(tensor.shape), std::move(tensor.data), std::move(name));
}

Weight Weight::from_ints(std::vector<std::int64_t> shape, std::span<const std::int64_t> values, DType dtype,
                         std::string name) {
  Tensor tensor = Tensor::from_ints(dtype, std::move(shape), values);
  return make_constant(dtype, std::move(tensor.shape), std::move(tensor.data), std::move(name));
}

DType Weight::dtype() const { return WeightExpr::of(*this).source->dtype(); }
const std::vector<std::int64_t>& Weight::shape() const { return WeightExpr::of(*this).shape; }
std::int64_t Weight::numel() const { return WeightExpr::of(*this).numel; }
const std::string& Weight::name() const { return WeightExpr::of(*this).name; }
const std::string& Weight::fingerprint() const { return WeightExpr::of(*this).fingerprint; }
bool Weight::is_constant() const { return WeightExpr::of(*this).kind == Kind::constant; }

const TensorView* Weight::view() const {
  const WeightExpr& expr = WeightExpr::of(*this);
  return expr.view ? &*expr.view : nullptr;
}

Weight Weight::named(std::string name) const {
  WeightExpr expr = WeightExpr::of(*this);
  expr.name = std::move(name);
  // Skipping this transform to simplify the next one would lose the name.
  if (expr.kind == Kind::cast || expr.kind == Kind::permute) expr.kind = Kind::other;
  return WeightExpr::wrap(std::move(expr));
}

Weight Weight::cast(DType dtype) const {
  const WeightExpr& expr = WeightExpr::of(*this);
  if (expr.source->dtype() == dtype) return *this;
  if (expr.kind == Kind::cast && is_lossless(expr.input->source->dtype(), expr.source->dtype())) {
    return Weight(expr.input).reshape(expr.shape).cast(dtype);
  }
  return make_transform({.source = detail::make_cast(expr.source, dtype),
                         .shape = expr.shape,
                         .name = with_suffix(expr.name, short_name(dtype)),
                         .kind = Kind::cast,
                         .input = expr_},
                        {&expr});
}

Weight Weight::transpose_of() const {
  const WeightExpr& expr = WeightExpr::of(*this);
  if (expr.kind == Kind::cast) {
    const Weight inner = Weight(expr.input).transpose_of();
    return inner ? inner.cast(expr.source->dtype()) : Weight();
  }
  const bool transposed = expr.kind == Kind::permute && expr.axes == Dims{1, 0};
  return transposed && expr.shape.size() == 2 ? Weight(expr.input) : Weight();
}

Weight Weight::permute(std::vector<std::int64_t> axes) const {
  const WeightExpr& expr = WeightExpr::of(*this);
  Dims shape, seen(expr.shape.size(), 0);
  for (std::int64_t& axis : axes) {
    const std::size_t normal = normalize_axis(axis, expr);
    axis = static_cast<std::int64_t>(normal);
    ++seen[normal];
    shape.push_back(expr.shape[normal]);
  }
  if (std::any_of(seen.begin(), seen.end(), [](std::int64_t times) { return times != 1; })) {
    fail(ErrorCode::shape, "[{}] is not a permutation of the axes of {}", fmt::join(axes, ", "),
         describe(expr));
  }
  if (expr.kind == Kind::permute) {
    for (std::int64_t& axis : axes) axis = expr.axes[static_cast<std::size_t>(axis)];
    return Weight(expr.input).permute(std::move(axes));
  }
  auto source = expr.numel == 0 ? nullptr : detail::make_permute(expr.source, expr.shape, axes);
  if (!source) return reshape(std::move(shape));
  return make_transform({.source = std::move(source),
                         .shape = std::move(shape),
                         .name = with_suffix(expr.name, axes.size() == 2 ? "T" : "permuted"),
                         .kind = Kind::permute,
                         .input = expr_,
                         .axes = std::move(axes)},
                        {&expr});
}

Weight Weight::reshape(std::vector<std::int64_t> shape) const {
  const WeightExpr& expr = WeightExpr::of(*this);
  if (shape == expr.shape) return *this;
  if (element_count(shape) != expr.numel) {
    fail(ErrorCode::shape, "cannot reshape {} to {}", describe(expr), text::shape_text(shape));
  }
  return with_shape(expr, std::move(shape));
}

Weight Weight::slice(std::int64_t axis_in, std::int64_t begin, std::int64_t end) const {
  const WeightExpr& expr = WeightExpr::of(*this);
  const std::size_t axis = normalize_axis(axis_in, expr);
  const std::int64_t extent = expr.shape[axis];
  if (begin < 0 || begin > end || end > extent) {
    fail(ErrorCode::shape, "cannot take [{}, {}) of axis {} of {}", begin, end, axis, describe(expr));
  }
  if (begin == 0 && end == extent) return *this;
  const auto product = [](auto first, auto last) {
    return std::accumulate(first, last, std::int64_t{1}, std::multiplies<>());
  };
  const auto at = expr.shape.begin() + static_cast<std::ptrdiff_t>(axis);
  const std::int64_t rows = product(expr.shape.begin(), at), inner = product(at + 1, expr.shape.end());
  Dims shape = expr.shape;
  shape[axis] = end - begin;
  std::string name = with_suffix(expr.name, fmt::format("slice_{}_{}_{}", axis, begin, end));
  if (expr.view && rows == 1) {
    TensorView view = *expr.view;
    view.offset += static_cast<std::uint64_t>(begin * inner) * size_of(view.dtype);
    view.shape = std::move(shape);
    return Weight(std::move(view)).named(std::move(name));
  }
  auto source = detail::make_columns(expr.source, rows, extent * inner, begin * inner, (end - begin) * inner);
  return make_transform({.source = std::move(source), .shape = std::move(shape), .name = std::move(name)},
                        {&expr});
}

Weight Weight::add(const Weight& other) const { return arithmetic(Arithmetic::add, *this, other); }
Weight Weight::sub(const Weight& other) const { return arithmetic(Arithmetic::sub, *this, other); }
Weight Weight::mul(const Weight& other) const { return arithmetic(Arithmetic::mul, *this, other); }
Weight Weight::div(const Weight& other) const { return arithmetic(Arithmetic::div, *this, other); }

Weight Weight::norm_except(std::int64_t axis_in) const {
  const WeightExpr& expr = WeightExpr::of(*this);
  const std::size_t axis = normalize_axis(axis_in, expr);
  if (!is_float(expr.source->dtype())) fail(ErrorCode::shape, "{} has no norm", describe(expr));
  std::int64_t outer = 1, inner = 1;
  for (std::size_t i = 0; i < expr.shape.size(); ++i) {
    if (i != axis) (i < axis ? outer : inner) *= expr.shape[i];
  }
  Dims shape(expr.shape.size(), 1);
  shape[axis] = expr.shape[axis];
  return make_transform({.source = detail::make_norm(expr.source, outer, shape[axis], inner),
                         .shape = std::move(shape),
                         .name = with_suffix(expr.name, "norm")},
                        {&expr});
}

namespace {

Weight apply(detail::Function function, const Weight& weight) {
  const WeightExpr& expr = WeightExpr::of(weight);
  const std::string_view name = to_string(function);
  if (!is_float(expr.source->dtype())) fail(ErrorCode::shape, "{} has no {}", describe(expr), name);
  return make_transform({.source = detail::make_function(function, expr.source),
                         .shape = expr.shape,
                         .name = with_suffix(expr.name, name)},
                        {&expr});
}

}  // namespace

Weight Weight::sqrt() const { return apply(detail::Function::sqrt, *this); }
Weight Weight::exp() const { return apply(detail::Function::exp, *this); }
Weight Weight::sin() const { return apply(detail::Function::sin, *this); }
Weight Weight::cos() const { return apply(detail::Function::cos, *this); }

Weight Weight::take(const Weight& indices) const {
  const WeightExpr& expr = WeightExpr::of(*this);
  if (expr.shape.empty()) fail(ErrorCode::shape, "{} has no rows", describe(expr));
  Dims rows = indices.to_ints();
  const std::int64_t extent = expr.shape[0];
  for (const std::int64_t row : rows) {
    if (row < 0 || row >= extent) fail(ErrorCode::shape, "row {} requested from {}", row, describe(expr));
  }
  Dims shape = indices.shape();
  shape.insert(shape.end(), expr.shape.begin() + 1, expr.shape.end());
  const std::int64_t width = extent == 0 ? 0 : expr.numel / extent;
  return make_transform({.source = detail::make_take(expr.source, width, std::move(rows)),
                         .shape = std::move(shape),
                         .name = with_suffix(expr.name, "rows")},
                        {&expr});
}

Weight Weight::concat(std::span<const Weight> parts, std::int64_t axis_in) {
  if (parts.empty()) fail(ErrorCode::shape, "nothing to concatenate");
  if (parts.size() == 1) return parts.front();
  const WeightExpr& first = WeightExpr::of(parts.front());
  const std::size_t axis = normalize_axis(axis_in, first);
  Dims shape = first.shape;
  shape[axis] = 0;
  std::string name;
  for (const Weight& part : parts) {
    const WeightExpr& expr = WeightExpr::of(part);
    Dims rest = expr.shape;
    const bool same_rank = rest.size() == shape.size();
    if (same_rank) rest[axis] = shape[axis];
    if (!same_rank || rest != shape || expr.source->dtype() != first.source->dtype() ||
        __builtin_add_overflow(shape[axis], expr.shape[axis], &shape[axis])) {
      fail(ErrorCode::shape, "cannot concatenate {} and {} along axis {}", describe(first), describe(expr),
           axis);
    }
    if (name.empty()) name = with_suffix(expr.name, "concat");
  }
  checked_count(shape);
  std::int64_t rows = 1, inner = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) (i < axis ? rows : inner) *= i == axis ? 1 : shape[i];
  std::vector<detail::ConcatPart> columns;
  const WeightExpr* variable = &first;
  for (const Weight& part : parts) {
    const WeightExpr& expr = WeightExpr::of(part);
    if (expr.kind != Kind::constant) variable = &expr;
    if (expr.numel != 0 || columns.empty()) columns.push_back({expr.source, expr.shape[axis] * inner});
  }
  WeightExpr expr{.source = detail::make_concat(std::move(columns), rows),
                  .shape = std::move(shape),
                  .name = std::move(name)};
  if (axis == 0) {
    expr.kind = Kind::concat;
    expr.parts.assign(parts.begin(), parts.end());
  }
  return make_transform(std::move(expr), {variable});
}

void Weight::read(std::int64_t begin, std::int64_t count, std::byte* out) const {
  const WeightExpr& expr = WeightExpr::of(*this);
  if (begin < 0 || count < 0 || begin > expr.numel || count > expr.numel - begin) {
    fail(ErrorCode::internal, "elements [{}, {}) requested from {}", begin, begin + count, describe(expr));
  }
  if (count > 0) expr.source->read(begin, count, out);
}

std::vector<double> Weight::to_doubles() const {
  const WeightExpr& expr = WeightExpr::of(*this);
  std::vector<double> values(static_cast<std::size_t>(expr.numel));
  const auto cast_to_double = cast(DType::f64);
  cast_to_double.read(0, expr.numel, reinterpret_cast<std::byte*>(values.data()));
  return values;
}

std::vector<std::int64_t> Weight::to_ints() const {
  const WeightExpr& expr = WeightExpr::of(*this);
  if (is_float(expr.source->dtype())) {
    fail(ErrorCode::internal, "integers requested from {}", describe(expr));
  }
  std::vector<std::int64_t> values(static_cast<std::size_t>(expr.numel));
  const auto cast_to_int = cast(DType::i64);
  cast_to_int.read(0, expr.numel, reinterpret_cast<std::byte*>(values.data()));
  return values;
}

}  // namespace onnxport
