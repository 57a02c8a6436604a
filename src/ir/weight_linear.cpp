// Weights that are rows computed from rows: products of matrices, and norms.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "ir/weight_expr.h"
#include "support/convert.h"

namespace onnxport::detail {
namespace {

using Doubles = std::vector<double>;

Doubles read_doubles(const Source& source, std::int64_t begin, std::int64_t count) {
  std::vector<std::byte> raw(static_cast<std::size_t>(count * source.element_size()));
  source.read(begin, count, raw.data());
  Doubles values(static_cast<std::size_t>(count));
  convert(source.dtype(), raw.data(), DType::f64, reinterpret_cast<std::byte*>(values.data()), values.size());
  return values;
}

std::string text_of(const SourcePtr& source) { return source ? source->text() : "-"; }
int depth_of(const SourcePtr& source) { return source ? source->depth() : 0; }

int depth_over(const SourcePtr& a, const SourcePtr& b, const SourcePtr& c) {
  return std::max({depth_of(a), depth_of(b), depth_of(c)}) + 1;
}

// ---------------------------------------------------------------------------------------------------------------------
// Linear

using Pair = double __attribute__((vector_size(16)));

/// out[i * out_stride + j] = a[i] . b[j] for kRows rows of a and kColumns rows of b, each of `width` numbers.
/// Every product is summed in the same order, whatever its place: even numbers, odd ones, and a last one that
/// is left, so that a range of elements has the same bits as all of them.
template <std::size_t kRows, std::size_t kColumns>
void dot_block(const double* a, const double* b, std::int64_t width, double* out, std::int64_t out_stride) {
  std::array<std::array<Pair, kColumns>, kRows> sums{};
  const auto pair = [](const double* at) {
    Pair value;
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  for (std::int64_t k = 0; k + 1 < width; k += 2) {
    std::array<Pair, kColumns> right;
    for (std::size_t j = 0; j < kColumns; ++j) right[j] = pair(b + static_cast<std::int64_t>(j) * width + k);
    for (std::size_t i = 0; i < kRows; ++i) {
      const Pair left = pair(a + static_cast<std::int64_t>(i) * width + k);
      for (std::size_t j = 0; j < kColumns; ++j) sums[i][j] += left * right[j];
    }
  }
  for (std::size_t i = 0; i < kRows; ++i) {
    for (std::size_t j = 0; j < kColumns; ++j) {
      const auto row = static_cast<std::int64_t>(i), column = static_cast<std::int64_t>(j);
      double sum = sums[i][j][0] + sums[i][j][1];
      if (width % 2 != 0) sum += a[(row + 1) * width - 1] * b[(column + 1) * width - 1];
      out[row * out_stride + column] = sum;
    }
  }
}

template <std::size_t kRows>
void dot_rows(const double* a, const double* b, std::int64_t columns, std::int64_t width, double* out,
              std::int64_t out_stride) {
  std::int64_t j = 0;
  for (; j + 4 <= columns; j += 4) dot_block<kRows, 4>(a, b + j * width, width, out + j, out_stride);
  for (; j < columns; ++j) dot_block<kRows, 1>(a, b + j * width, width, out + j, out_stride);
}

class LinearSource final : public Source {
 public:
  LinearSource(SourcePtr x, SourcePtr weight, SourcePtr bias, std::int64_t in, std::int64_t out)
      : Source(x->dtype(),
               fmt::format("linear([{},{}],{},{},{})", in, out, x->text(), weight->text(),
                           detail::text_of(bias)),
               depth_over(x, weight, bias)),
        x_(std::move(x)),
        weight_(std::move(weight)),
        bias_(std::move(bias)),
        in_(in),
        out_(out) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t end = begin + count;
    for (std::int64_t row = begin / out_; row * out_ < end; row += tile_rows()) {
      const std::int64_t rows = std::min(tile_rows(), (end - 1) / out_ + 1 - row);
      const Doubles result = compute(row, rows);
      const std::int64_t from = std::max(begin, row * out_), to = std::min(end, (row + rows) * out_);
      convert(DType::f64, reinterpret_cast<const std::byte*>(result.data() + (from - row * out_)), dtype(),
              out + (from - begin) * element_size(), static_cast<std::size_t>(to - from));
    }
  }

 private:
  /// Rows of either matrix that are held at a time.
  std::int64_t tile_rows() const {
    return std::max<std::int64_t>(
        kTileBytes / (std::max<std::int64_t>(in_, 1) * static_cast<std::int64_t>(sizeof(double))), 4);
  }

  Doubles compute(std::int64_t first, std::int64_t rows) const {
    Doubles result(static_cast<std::size_t>(rows * out_));
    const Doubles x = read_doubles(*x_, first * in_, rows * in_);
    for (std::int64_t column = 0; column < out_; column += tile_rows()) {
      const std::int64_t columns = std::min(tile_rows(), out_ - column);
      const Doubles weight = read_doubles(*weight_, column * in_, columns * in_);
      double* const out = result.data() + column;
      std::int64_t i = 0;
      for (; i + 2 <= rows; i += 2)
        dot_rows<2>(x.data() + i * in_, weight.data(), columns, in_, out + i * out_, out_);
      if (i < rows) dot_rows<1>(x.data() + i * in_, weight.data(), columns, in_, out + i * out_, out_);
    }
    if (!bias_) return result;
    const Doubles bias = read_doubles(*bias_, 0, out_);
    for (std::size_t i = 0; i < result.size(); ++i) result[i] += bias[i % bias.size()];
    return result;
  }

  SourcePtr x_, weight_, bias_;
  std::int64_t in_, out_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Norm of rows

class LayerNormSource final : public Source {
 public:
  LayerNormSource(SourcePtr x, SourcePtr weight, SourcePtr bias, std::int64_t width, double eps)
      : Source(x->dtype(),
               fmt::format("layer_norm({},{},{},{},{})", width, eps, x->text(), detail::text_of(weight),
                           detail::text_of(bias)),
               depth_over(x, weight, bias)),
        x_(std::move(x)),
        weight_(std::move(weight)),
        bias_(std::move(bias)),
        width_(width),
        eps_(eps) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t end = begin + count;
    const Doubles weight = weight_ ? read_doubles(*weight_, 0, width_) : Doubles();
    const Doubles bias = bias_ ? read_doubles(*bias_, 0, width_) : Doubles();
    for (std::int64_t row = begin / width_; row * width_ < end; ++row) {
      const Doubles values = normalized(read_doubles(*x_, row * width_, width_), weight, bias);
      const std::int64_t from = std::max(begin, row * width_), to = std::min(end, (row + 1) * width_);
      convert(DType::f64, reinterpret_cast<const std::byte*>(values.data() + (from - row * width_)), dtype(),
              out + (from - begin) * element_size(), static_cast<std::size_t>(to - from));
    }
  }

 private:
  Doubles normalized(Doubles values, const Doubles& weight, const Doubles& bias) const {
    const auto count = static_cast<double>(width_);
    double mean = 0, variance = 0;
    for (const double value : values) mean += value;
    mean /= count;
    for (double& value : values) {
      value -= mean;
      variance += value * value;
    }
    const double deviation = std::sqrt(variance / count + eps_);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] /= deviation;
      if (!weight.empty()) values[i] *= weight[i];
      if (!bias.empty()) values[i] += bias[i];
    }
    return values;
  }

  SourcePtr x_, weight_, bias_;
  std::int64_t width_;
  double eps_;
};

}  // namespace

SourcePtr make_linear(SourcePtr x, SourcePtr weight, SourcePtr bias, std::int64_t in, std::int64_t out) {
  return std::make_shared<LinearSource>(std::move(x), std::move(weight), std::move(bias), in, out);
}

SourcePtr make_layer_norm(SourcePtr x, SourcePtr weight, SourcePtr bias, std::int64_t width, double eps) {
  return std::make_shared<LayerNormSource>(std::move(x), std::move(weight), std::move(bias), width, eps);
}

}  // namespace onnxport::detail
