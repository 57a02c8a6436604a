#include "ir/weight_low_rank.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "support/convert.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

/// Extents of a product: [rows, rank] x [rank, columns].
struct LowRank {
  std::int64_t rows, rank, columns;
};

class LowRankSource final : public Source {
 public:
  LowRankSource(SourcePtr base, SourcePtr left, SourcePtr right, const LowRank& extents, double scale)
      : Source(DType::f32,
               fmt::format("low_rank({}x{}x{},{:a},{},{},{})", extents.rows, extents.rank, extents.columns,
                           scale, base->text(), left->text(), right->text()),
               std::max({base->depth(), left->depth(), right->depth()}) + 1),
        base_(std::move(base)),
        left_(std::move(left)),
        right_(std::move(right)),
        extents_(extents),
        scale_(scale) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    base_->read(begin, count, out);
    // Either some columns of one row, or all columns of some rows.
    for_each_box({extents_.rows, extents_.columns}, begin, count, [&](const Dims& from, const Dims& extents) {
      read_rows({from[0], from[1], extents[0], extents[1]}, out);
      out += extents[0] * extents[1] * element_size();
    });
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return base_->origins(begin, count);
  }

 private:
  /// Where a part of the product is, and its extents.
  struct Part {
    std::int64_t row, column, rows, columns;
  };

  void read_rows(const Part& part, std::byte* out) const {
    constexpr std::int64_t kElements = kTileBytes / static_cast<std::int64_t>(sizeof(double));
    const std::int64_t per_tile = std::max<std::int64_t>(kElements / extents_.rank, 1);
    for (std::int64_t done = 0; done < part.rows; done += per_tile) {
      const std::int64_t rows = std::min(per_tile, part.rows - done);
      const std::vector<double> left =
          load(*left_, {extents_.rows, extents_.rank}, {part.row + done, 0, rows, extents_.rank});
      for (std::int64_t column = 0; column < part.columns; column += per_tile) {
        const std::int64_t columns = std::min(per_tile, part.columns - column);
        const std::vector<double> right = load(*right_, {extents_.rank, extents_.columns},
                                               {0, part.column + column, extents_.rank, columns});
        multiply(left, right, columns, out + (done * part.columns + column) * element_size(), part.columns);
      }
    }
  }

  /// A part of a factor of this shape.
  std::vector<double> load(const Source& factor, const Dims& shape, const Part& part) const {
    const std::int64_t count = part.rows * part.columns;
    const auto tile = make_buffer(count * element_size());
    read_box(factor, shape, {part.row, part.column}, {part.rows, part.columns}, tile.get());
    std::vector<double> values(static_cast<std::size_t>(count));
    convert(DType::f32, tile.get(), DType::f64, reinterpret_cast<std::byte*>(values.data()), values.size());
    return values;
  }

  /// Adds rows of the product to those at `out`, which are `stride` elements apart. In double, a product of
  /// two float32 is exact, so a fused multiply-add gives the same bits.
  void multiply(const std::vector<double>& left, const std::vector<double>& right, std::int64_t columns,
                std::byte* out, std::int64_t stride) const {
    const auto rank = static_cast<std::size_t>(extents_.rank), width = static_cast<std::size_t>(columns);
    std::vector<double> sums(width);
    std::vector<float> row(width);
    for (std::size_t i = 0; i < left.size() / rank; ++i) {
      std::fill(sums.begin(), sums.end(), 0.0);
      const double *factors = left.data() + i * rank, *from = right.data();
      std::size_t k = 0;
      for (; k + 4 <= rank; k += 4, factors += 4, from += 4 * width) add_four(factors, from, sums);
      for (; k < rank; ++k, ++factors, from += width) {
        for (std::size_t j = 0; j < width; ++j) sums[j] += *factors * from[j];
      }
      std::byte* place = out + static_cast<std::int64_t>(i) * stride * element_size();
      std::memcpy(row.data(), place, width * sizeof(float));
      for (std::size_t j = 0; j < width; ++j)
        row[j] = static_cast<float>(static_cast<double>(row[j]) + sums[j] * scale_);
      std::memcpy(place, row.data(), width * sizeof(float));
    }
  }

  /// Four rows of a factor, one after the other, in one pass over the sums.
  static void add_four(const double* factors, const double* rows, std::vector<double>& sums) {
    const std::size_t width = sums.size();
    const double a = factors[0], b = factors[1], c = factors[2], d = factors[3];
    const double *first = rows, *second = rows + width, *third = second + width, *fourth = third + width;
    double* sum = sums.data();
    for (std::size_t j = 0; j < width; ++j)
      sum[j] = (((sum[j] + a * first[j]) + b * second[j]) + c * third[j]) + d * fourth[j];
  }

  SourcePtr base_, left_, right_;
  LowRank extents_;
  double scale_;
};

}  // namespace
}  // namespace detail

using detail::WeightExpr;

Weight add_low_rank(const Weight& base, const Weight& left, const Weight& right, double scale) {
  const std::vector<std::int64_t>&sum = base.shape(), &a = left.shape(), &b = right.shape();
  const bool floats = is_float(base.dtype()) && is_float(left.dtype()) && is_float(right.dtype());
  if (!floats || a.size() != 2 || b.size() != 2 || a[1] != b[0] || a[1] < 1 ||
      sum != std::vector<std::int64_t>{a[0], b[1]}) {
    fail(ErrorCode::shape,
         "cannot add the product of {}{} and {}{} to {}{}, expected floats [R, r], [r, C], [R, C]",
         to_string(left.dtype()), text::shape_text(a), to_string(right.dtype()), text::shape_text(b),
         to_string(base.dtype()), text::shape_text(sum));
  }
  const auto source = [](const Weight& weight) { return WeightExpr::of(weight.cast(DType::f32)).source; };
  return WeightExpr::wrap(
      {.source = std::make_shared<detail::LowRankSource>(source(base), source(left), source(right),
                                                         detail::LowRank{a[0], a[1], b[1]}, scale),
       .shape = sum,
       .name = base.name()});
}

}  // namespace onnxport
