// Integers with scales and zero points of groups.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <utility>

#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "ir/weight_packed.h"
#include "support/fail.h"
#include "support/hash.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

/// A matrix in groups of columns.
struct Groups {
  std::int64_t columns, size, count;
  std::vector<std::int64_t> of;  ///< the group of each column; empty: column / size
};

class AffineSource final : public Source {
 public:
  AffineSource(SourcePtr codes, SourcePtr scales, SourcePtr zero_points, int zero_point, Groups groups)
      : Source(DType::f32,
               fmt::format("affine({}/{}#{},{},{},{})", groups.columns, groups.size,
                           groups.of.empty() ? std::string() : hash128(std::as_bytes(std::span(groups.of))),
                           codes->text(), scales->text(),
                           zero_points ? zero_points->text() : std::to_string(zero_point)),
               std::max({codes->depth(), scales->depth(), zero_points ? zero_points->depth() : 0}) + 1),
        codes_(std::move(codes)),
        scales_(std::move(scales)),
        zero_points_(std::move(zero_points)),
        zero_point_(zero_point),
        groups_(std::move(groups)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t step = tile_elements(element_size(), count);
    const auto codes = make_buffer(step);
    RowData rows;
    for (std::int64_t done = 0; done < count; done += step) {
      const std::int64_t n = std::min(step, count - done);
      codes_->read(begin + done, n, codes.get());
      decode(begin + done, n, reinterpret_cast<const std::uint8_t*>(codes.get()), out, rows);
      out += n * element_size();
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return codes_->origins(begin, count);
  }

 private:
  /// The scales and zero points of some successive groups of a row, or of successive rows.
  struct RowData {
    std::int64_t first = 0;
    std::vector<float> scales;
    std::vector<std::uint8_t> zero_points;
  };

  void decode(std::int64_t begin, std::int64_t count, const std::uint8_t* codes, std::byte* out,
              RowData& rows) const {
    const std::int64_t last_row = (begin + count - 1) / groups_.columns;
    while (count > 0) {  // row by row
      const std::int64_t row = begin / groups_.columns, column = begin % groups_.columns;
      const std::int64_t n = std::min(count, groups_.columns - column);
      load(row, column, n, last_row, rows);
      const std::int64_t at = row * groups_.count - rows.first;
      if (groups_.of.empty()) {
        decode_groups(column, n, codes, out, rows, at);
      } else {
        decode_columns(column, n, codes, out, rows, at);
      }
      begin += n;
      count -= n;
      codes += n;
      out += n * element_size();
    }
  }

  /// Makes the scales and zero points of a part of a row available: with those of the rows after it, up to
  /// `last`, as far as a tile goes; or only those of the part if a row has very many.
  void load(std::int64_t row, std::int64_t column, std::int64_t count, std::int64_t last,
            RowData& rows) const {
    constexpr std::int64_t kMost = kTileBytes / static_cast<std::int64_t>(sizeof(float));
    std::int64_t first = row * groups_.count, n = groups_.count;
    if (groups_.of.empty() && groups_.count > kMost) {
      first += column / groups_.size;
      n = (column + count - 1) / groups_.size - column / groups_.size + 1;
    }
    if (first >= rows.first && first + n <= rows.first + static_cast<std::int64_t>(rows.scales.size()))
      return;
    if (n == groups_.count) n *= std::clamp<std::int64_t>(kMost / n, 1, last - row + 1);
    rows.first = first;
    rows.scales.resize(static_cast<std::size_t>(n));
    scales_->read(first, n, reinterpret_cast<std::byte*>(rows.scales.data()));
    if (!zero_points_) return;
    rows.zero_points.resize(static_cast<std::size_t>(n));
    zero_points_->read(first, n, reinterpret_cast<std::byte*>(rows.zero_points.data()));
  }

  /// `at`: where the row's own scales begin among those in memory.
  void decode_groups(std::int64_t column, std::int64_t count, const std::uint8_t* codes, std::byte* out,
                     const RowData& rows, std::int64_t at) const {
    for (std::int64_t k = column, end = column + count; k < end;) {
      const std::int64_t group = k / groups_.size;
      const std::int64_t n = std::min(end, (group + 1) * groups_.size) - k;
      const auto i = static_cast<std::size_t>(at + group);
      multiply(codes, n, zero_points_ ? rows.zero_points[i] : zero_point_, rows.scales[i], out);
      codes += n;
      out += n * element_size();
      k += n;
    }
  }

  static void multiply(const std::uint8_t* __restrict codes, std::int64_t count, int zero_point, float scale,
                       std::byte* __restrict out) {
    if (!std::isfinite(scale)) return multiply_special(codes, count, zero_point, scale, out);
    for (std::int64_t i = 0; i < count; ++i) {
      const float value = static_cast<float>(codes[i] - zero_point) * scale;
      std::memcpy(out + i * static_cast<std::int64_t>(sizeof value), &value, sizeof value);
    }
  }

  /// Products that may be NaN.
  static void multiply_special(const std::uint8_t* codes, std::int64_t count, int zero_point, float scale,
                               std::byte* out) {
    for (std::int64_t i = 0; i < count; ++i, out += sizeof(float)) {
      float value = static_cast<float>(codes[i] - zero_point) * scale;
      if (std::isnan(value)) value = std::numeric_limits<float>::quiet_NaN();
      std::memcpy(out, &value, sizeof value);
    }
  }

  void decode_columns(std::int64_t column, std::int64_t count, const std::uint8_t* codes, std::byte* out,
                      const RowData& rows, std::int64_t at) const {
    for (std::int64_t k = column; k < column + count; ++k, ++codes, out += sizeof(float)) {
      const auto i = static_cast<std::size_t>(at + groups_.of[static_cast<std::size_t>(k)]);
      const int zero_point = zero_points_ ? rows.zero_points[i] : zero_point_;
      float value = static_cast<float>(*codes - zero_point) * rows.scales[i];
      if (std::isnan(value)) value = std::numeric_limits<float>::quiet_NaN();
      std::memcpy(out, &value, sizeof value);
    }
  }

  SourcePtr codes_, scales_, zero_points_;
  int zero_point_;
  Groups groups_;
};

}  // namespace
}  // namespace detail

using detail::WeightExpr;

Weight affine(const PackedWeight& packed) {
  const std::vector<std::int64_t>&codes = packed.codes.shape(), &scales = packed.scales.shape();
  const std::vector<std::int64_t>& groups = packed.group_of;
  const auto refuse = [&](std::string_view what, const Weight& got, const std::string& expected) {
    fail(ErrorCode::shape, "{} are {}{}, expected {}", what, to_string(got.dtype()),
         text::shape_text(got.shape()), expected);
  };
  if (codes.size() != 2 || packed.codes.dtype() != DType::u8) refuse("codes", packed.codes, "uint8[N, K]");
  const std::int64_t rows = codes[0], columns = codes[1];
  const bool whole = scales == std::vector<std::int64_t>{1, 1};
  if (!is_float(packed.scales.dtype()) || scales.size() != 2 || (scales[0] != rows && !whole)) {
    refuse("scales", packed.scales, fmt::format("floats [{}, groups]", rows));
  }
  if (packed.zero_points &&
      (packed.zero_points.dtype() != DType::u8 || packed.zero_points.shape() != scales)) {
    refuse("zero points", packed.zero_points, "uint8" + text::shape_text(scales));
  }
  if (packed.offsets) refuse("offsets", packed.offsets, "none");
  const auto bad_group = [&](std::int64_t group) { return group < 0 || group >= scales[1]; };
  const bool fits = groups.empty() ? packed.group_size > 0 &&
                                         (columns == 0 || (columns - 1) / packed.group_size < scales[1])
                                   : groups.size() == static_cast<std::size_t>(columns) &&
                                         std::none_of(groups.begin(), groups.end(), bad_group);
  if (!fits) {
    fail(ErrorCode::shape, "{} columns in groups of {} do not fit {} scales in each row", columns,
         packed.group_size, scales[1]);
  }
  if (packed.codes.numel() == 0) return Weight::constant(DType::f32, codes, {}, packed.codes.name());
  detail::Groups grid{columns, packed.group_size, scales[1], groups};
  // One scale for everything: one row of one group.
  if (whole && rows != 1) grid = {packed.codes.numel(), packed.codes.numel(), 1, {}};
  const Weight factors = packed.scales.cast(DType::f32);
  return WeightExpr::wrap({.source = std::make_shared<detail::AffineSource>(
                               WeightExpr::of(packed.codes).source, WeightExpr::of(factors).source,
                               packed.zero_points ? WeightExpr::of(packed.zero_points).source : nullptr,
                               packed.zero_point, std::move(grid)),
                           .shape = codes,
                           .name = packed.codes.name()});
}

}  // namespace onnxport
