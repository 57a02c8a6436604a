#include "ir/weight_expr.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstring>
#include <limits>
#include <mutex>
#include <numeric>
#include <span>
#include <utility>

#include "ir/weight_boxes.h"
#include "support/convert.h"
#include "support/fail.h"
#include "support/hash.h"

namespace onnxport::detail {
namespace {

// ---------------------------------------------------------------------------------------------------------------------
// Cast

class CastSource final : public Source {
 public:
  CastSource(SourcePtr input, DType dtype)
      : Source(dtype, fmt::format("cast({},{})", short_name(dtype), input->text()), input->depth() + 1),
        input_(std::move(input)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t step = tile_elements(input_->element_size(), count);
    const auto tile = make_buffer(step * input_->element_size());
    for (std::int64_t done = 0; done < count; done += step) {
      const std::int64_t n = std::min(step, count - done);
      input_->read(begin + done, n, tile.get());
      convert(input_->dtype(), tile.get(), dtype(), out + done * element_size(), static_cast<std::size_t>(n));
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return input_->origins(begin, count);
  }

 private:
  SourcePtr input_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Arithmetic

/// One operand: strides over the axes of the output, 0 where it is broadcast.
struct Operand {
  SourcePtr source;
  Dims strides;
};

/// Reads the elements of an operand that belong to a range of the output, as Wide (double or int64).
template <class Wide>
class OperandReader {
 public:
  /// For the range [begin, begin + count) of the output.
  OperandReader(const Operand& operand, const Dims& shape, std::int64_t begin, std::int64_t count)
      : operand_(operand),
        shape_(shape),
        broadcast_(std::count(operand.strides.begin(), operand.strides.end(), 0) > 0) {
    for_each_box(shape, begin, count, [&](const Dims& index, Dims extents) {
      for (std::int64_t& extent : extents) --extent;
      const std::int64_t first = dot(index, operand.strides);
      first_ = std::min(first_, first);
      last_ = std::max(last_, first + dot(extents, operand.strides));
    });
  }

  /// A part of that range.
  void read(std::int64_t begin, std::int64_t count, Wide* out) {
    if (!broadcast_) return load(begin, count, out);
    const std::int64_t row = shape_.back();
    while (count > 0) {
      const Dims index = unravel(shape_, begin);
      const std::int64_t n = std::min(count, row - index.back());
      const std::int64_t first = dot(index, operand_.strides);
      if (operand_.strides.back() == 0) {
        std::fill_n(out, n, *window(first, 1));
      } else {
        std::copy_n(window(first, n), n, out);
      }
      begin += n;
      count -= n;
      out += n;
    }
  }

 private:
  static constexpr std::int64_t kWindow = kTileBytes / static_cast<std::int64_t>(sizeof(Wide));

  void load(std::int64_t begin, std::int64_t count, Wide* out) {
    const std::size_t bytes = static_cast<std::size_t>(count * operand_.source->element_size());
    if (raw_.size() < bytes) raw_.resize(bytes);
    operand_.source->read(begin, count, raw_.data());
    convert(operand_.source->dtype(), raw_.data(), std::same_as<Wide, double> ? DType::f64 : DType::i64,
            reinterpret_cast<std::byte*>(out), static_cast<std::size_t>(count));
  }

  /// `count` elements from `first` on. If the range needs only few elements, all of them are loaded at once,
  /// else only those nearby.
  const Wide* window(std::int64_t first, std::int64_t count) {
    if (first < window_begin_ || first + count > window_begin_ + static_cast<std::int64_t>(window_.size())) {
      window_begin_ = last_ - first_ < kWindow ? first_ : first;
      window_.resize(static_cast<std::size_t>(std::min(kWindow, last_ + 1 - window_begin_)));
      load(window_begin_, static_cast<std::int64_t>(window_.size()), window_.data());
    }
    return window_.data() + (first - window_begin_);
  }

  const Operand& operand_;
  const Dims& shape_;
  bool broadcast_;
  std::int64_t first_ = std::numeric_limits<std::int64_t>::max(),
               last_ = 0;  ///< of the elements that are needed
  std::vector<std::byte> raw_;
  std::vector<Wide> window_;
  std::int64_t window_begin_ = 0;
};

void apply(Arithmetic op, const double* a, const double* b, double* out, std::int64_t count) {
  switch (op) {
    case Arithmetic::add:
      std::transform(a, a + count, b, out, std::plus<>());
      break;
    case Arithmetic::sub:
      std::transform(a, a + count, b, out, std::minus<>());
      break;
    case Arithmetic::mul:
      std::transform(a, a + count, b, out, std::multiplies<>());
      break;
    case Arithmetic::div:
      std::transform(a, a + count, b, out, std::divides<>());
      break;
  }
}

std::int64_t divide(std::int64_t a, std::int64_t b, bool is_unsigned) {
  if (b == 0) fail(ErrorCode::invalid_argument, "division of an integer weight by zero");
  if (is_unsigned) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) / static_cast<std::uint64_t>(b));
  }
  return b == -1 ? static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(a)) : a / b;  // lowest / -1 traps
}

void apply(Arithmetic op, bool is_unsigned, const std::int64_t* a, const std::int64_t* b, std::int64_t* out,
           std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto x = static_cast<std::uint64_t>(a[i]), y = static_cast<std::uint64_t>(b[i]);
    switch (op) {
      case Arithmetic::add:
        out[i] = static_cast<std::int64_t>(x + y);
        break;
      case Arithmetic::sub:
        out[i] = static_cast<std::int64_t>(x - y);
        break;
      case Arithmetic::mul:
        out[i] = static_cast<std::int64_t>(x * y);
        break;
      case Arithmetic::div:
        out[i] = divide(a[i], b[i], is_unsigned);
        break;
    }
  }
}

class ArithmeticSource final : public Source {
 public:
  ArithmeticSource(Arithmetic op, Operand a, Operand b, Dims shape)
      : Source(a.source->dtype(), text_of(op, a, b, shape),
               std::max(a.source->depth(), b.source->depth()) + 1),
        op_(op),
        a_(std::move(a)),
        b_(std::move(b)),
        shape_(std::move(shape)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (is_float(dtype())) {
      read_as<double>(begin, count, out);
    } else {
      read_as<std::int64_t>(begin, count, out);
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    for (const Operand* operand : {&a_, &b_}) {
      if (std::count(operand->strides.begin(), operand->strides.end(), 0) > 0) continue;
      std::vector<Origin> origins = operand->source->origins(begin, count);
      if (std::any_of(origins.begin(), origins.end(), [](const Origin& o) { return o.known(); }))
        return origins;
    }
    return Source::origins(begin, count);
  }

 private:
  template <class Wide>
  void read_as(std::int64_t begin, std::int64_t count, std::byte* out) const {
    constexpr std::int64_t kStep = 8192;  // elements: three arrays of 64 kB
    const auto step = static_cast<std::size_t>(std::min(kStep, count));
    std::vector<Wide> a(step), b(step), result(step);
    OperandReader<Wide> read_a(a_, shape_, begin, count), read_b(b_, shape_, begin, count);
    for (std::int64_t done = 0; done < count; done += kStep) {
      const std::int64_t n = std::min(kStep, count - done);
      read_a.read(begin + done, n, a.data());
      read_b.read(begin + done, n, b.data());
      if constexpr (std::same_as<Wide, double>) {
        apply(op_, a.data(), b.data(), result.data(), n);
      } else {
        apply(op_, dtype() == DType::u64, a.data(), b.data(), result.data(), n);
      }
      convert(std::same_as<Wide, double> ? DType::f64 : DType::i64,
              reinterpret_cast<const std::byte*>(result.data()), dtype(), out + done * element_size(),
              static_cast<std::size_t>(n));
    }
  }

  static std::string text_of(Arithmetic op, const Operand& a, const Operand& b, const Dims& shape) {
    return fmt::format("{}([{}],[{}]{},[{}]{})", to_string(op), fmt::join(shape, ","),
                       fmt::join(a.strides, ","), a.source->text(), fmt::join(b.strides, ","),
                       b.source->text());
  }

  Arithmetic op_;
  Operand a_, b_;
  Dims shape_;
};

/// Strides of an operand over the axes of `shape`, to which it is broadcast.
Dims broadcast_strides(const Dims& operand, const Dims& shape) {
  const Dims own = row_major_strides(operand);
  Dims strides(shape.size(), 0);
  const std::size_t shift = shape.size() - operand.size();
  for (std::size_t axis = 0; axis < operand.size(); ++axis) {
    if (operand[axis] != 1) strides[axis + shift] = own[axis];
  }
  return strides;
}

// ---------------------------------------------------------------------------------------------------------------------
// Norm

/// There are few elements, and each needs a part of the whole input, so all are computed at once and kept.
class NormSource final : public Source {
 public:
  NormSource(SourcePtr input, std::int64_t outer, std::int64_t extent, std::int64_t inner)
      : Source(input->dtype(), fmt::format("norm([{},{},{}],{})", outer, extent, inner, input->text()),
               input->depth() + 1),
        input_(std::move(input)),
        count_(outer * extent * inner),
        extent_(extent),
        inner_(inner) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    std::call_once(once_, [&] { compute(); });
    convert(DType::f64, reinterpret_cast<const std::byte*>(norms_.data() + begin), dtype(), out,
            static_cast<std::size_t>(count));
  }

 private:
  void compute() const {
    std::vector<double> squares(static_cast<std::size_t>(extent_), 0.0);
    const std::int64_t step = tile_elements(sizeof(double), count_);
    const auto tile = make_buffer(step * input_->element_size());
    std::vector<double> values(static_cast<std::size_t>(step));
    for (std::int64_t done = 0; done < count_; done += step) {
      const std::int64_t n = std::min(step, count_ - done);
      input_->read(done, n, tile.get());
      convert(input_->dtype(), tile.get(), DType::f64, reinterpret_cast<std::byte*>(values.data()),
              static_cast<std::size_t>(n));
      for (std::int64_t i = 0; i < n; ++i) {
        const double value = values[static_cast<std::size_t>(i)];
        squares[static_cast<std::size_t>((done + i) / inner_ % extent_)] += value * value;
      }
    }
    for (double& square : squares) square = std::sqrt(square);
    norms_ = std::move(squares);
  }

  SourcePtr input_;
  std::int64_t count_, extent_, inner_;
  mutable std::once_flag once_;
  mutable std::vector<double> norms_;
};

double apply(Function function, double x) {
  switch (function) {
    case Function::sqrt:
      return std::sqrt(x);
    case Function::exp:
      return std::exp(x);
    case Function::sin:
      return std::sin(x);
    case Function::cos:
      return std::cos(x);
  }
  return x;
}

class FunctionSource final : public Source {
 public:
  FunctionSource(Function function, SourcePtr input)
      : Source(input->dtype(), fmt::format("{}({})", to_string(function), input->text()), input->depth() + 1),
        function_(function),
        input_(std::move(input)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t step = tile_elements(sizeof(double), count);
    std::vector<double> values(static_cast<std::size_t>(step));
    auto* bytes = reinterpret_cast<std::byte*>(values.data());
    for (std::int64_t done = 0; done < count; done += step) {
      const std::int64_t n = std::min(step, count - done);
      std::byte* place = out + done * element_size();
      input_->read(begin + done, n, place);
      convert(dtype(), place, DType::f64, bytes, static_cast<std::size_t>(n));
      for (double& value : std::span(values).first(static_cast<std::size_t>(n)))
        value = apply(function_, value);
      convert(DType::f64, bytes, dtype(), place, static_cast<std::size_t>(n));
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return input_->origins(begin, count);
  }

 private:
  Function function_;
  SourcePtr input_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Take

class TakeSource final : public Source {
 public:
  TakeSource(SourcePtr input, std::int64_t width, Dims indices)
      : Source(
            input->dtype(),
            fmt::format("take({},#{},{})", width, hash128(std::as_bytes(std::span(indices))), input->text()),
            input->depth() + 1),
        input_(std::move(input)),
        width_(width),
        indices_(std::move(indices)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    while (count > 0) {
      const std::int64_t row = begin / width_, column = begin % width_;
      std::int64_t n = std::min(width_ - column, count);
      const std::int64_t from = indices_[static_cast<std::size_t>(row)] * width_ + column;
      // Successive rows are one read.
      for (auto next = static_cast<std::size_t>(row) + 1;
           n < count && indices_[next] == indices_[next - 1] + 1; ++next) {
        n = std::min(n + width_, count);
      }
      input_->read(from, n, out);
      out += n * element_size();
      begin += n;
      count -= n;
    }
  }

 private:
  SourcePtr input_;
  std::int64_t width_;
  Dims indices_;
};

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

Source::Source(DType dtype, std::string text, int depth)
    : dtype_(dtype), text_(std::move(text)), depth_(depth) {
  constexpr std::size_t kLongText = 200;  // expressions that share their parts would else grow without bound
  constexpr int kDeepest = 500;           // reading and destruction recurse
  if (text_.size() > kLongText) text_ = "#" + hash128(std::as_bytes(std::span(text_)));
  if (depth_ > kDeepest) fail(ErrorCode::internal, "a weight has more than {} transforms", kDeepest);
}

SourcePtr make_cast(SourcePtr input, DType dtype) {
  return std::make_shared<CastSource>(std::move(input), dtype);
}

SourcePtr make_norm(SourcePtr input, std::int64_t outer, std::int64_t extent, std::int64_t inner) {
  return std::make_shared<NormSource>(std::move(input), outer, extent, inner);
}

std::string_view to_string(Function function) {
  switch (function) {
    case Function::sqrt:
      return "sqrt";
    case Function::exp:
      return "exp";
    case Function::sin:
      return "sin";
    case Function::cos:
      return "cos";
  }
  return {};
}

SourcePtr make_function(Function function, SourcePtr input) {
  return std::make_shared<FunctionSource>(function, std::move(input));
}

SourcePtr make_take(SourcePtr input, std::int64_t width, Dims indices) {
  return std::make_shared<TakeSource>(std::move(input), width, std::move(indices));
}

std::string_view to_string(Arithmetic op) {
  constexpr std::array<std::string_view, 4> kNames = {"add", "sub", "mul", "div"};
  return kNames.at(static_cast<std::size_t>(op));
}

SourcePtr make_arithmetic(Arithmetic op, SourcePtr a, const Dims& a_shape, SourcePtr b, const Dims& b_shape,
                          const Dims& shape) {
  const Dims a_strides = broadcast_strides(a_shape, shape), b_strides = broadcast_strides(b_shape, shape);
  Operand left{std::move(a), {}}, right{std::move(b), {}};
  // Merges neighbouring axes that both operands step through in the same way.
  Dims merged;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 1) continue;
    const bool same = !merged.empty() && left.strides.back() == a_strides[axis] * shape[axis] &&
                      right.strides.back() == b_strides[axis] * shape[axis];
    if (!same) {
      merged.push_back(1);
      left.strides.push_back(0);
      right.strides.push_back(0);
    }
    merged.back() *= shape[axis];
    left.strides.back() = a_strides[axis];
    right.strides.back() = b_strides[axis];
  }
  if (merged.empty()) {
    merged = {1};
    left.strides = right.strides = {0};
  }
  return std::make_shared<ArithmeticSource>(op, std::move(left), std::move(right), std::move(merged));
}

}  // namespace onnxport::detail
