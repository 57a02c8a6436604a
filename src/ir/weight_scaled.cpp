#include "ir/weight_scaled.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "ir/weight_packed.h"
#include "support/fail.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

/// A matrix, or several successive ones of the same shape, in blocks.
struct BlockGrid {
  std::int64_t rows, columns;              ///< of a matrix
  std::int64_t block_rows, block_columns;  ///< of a block

  std::int64_t down() const { return divide_up(rows, block_rows); }
  std::int64_t across() const { return divide_up(columns, block_columns); }
};

class ScaledSource final : public Source {
 public:
  ScaledSource(SourcePtr values, SourcePtr scales, const BlockGrid& grid)
      : Source(DType::f32,
               fmt::format("scaled({}x{}/{}x{},{},{})", grid.rows, grid.columns, grid.block_rows,
                           grid.block_columns, values->text(), scales->text()),
               std::max(values->depth(), scales->depth()) + 1),
        values_(std::move(values)),
        scales_(std::move(scales)),
        grid_(grid) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t step = tile_elements(sizeof(float), count);
    ScaleRow scales;
    for (std::int64_t done = 0; done < count; done += step, out += step * element_size()) {
      const std::int64_t n = std::min(step, count - done);
      values_->read(begin + done, n, out);
      scale(begin + done, n, out, scales);
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return values_->origins(begin, count);
  }

 private:
  /// Some scales of one row of blocks.
  struct ScaleRow {
    std::int64_t first = 0;  ///< the position of the first one among all scales
    std::vector<float> values;
  };

  void scale(std::int64_t begin, std::int64_t count, std::byte* out, ScaleRow& scales) const {
    while (count > 0) {  // row by row
      const std::int64_t row = begin / grid_.columns, column = begin % grid_.columns;
      const std::int64_t n = std::min(count, grid_.columns - column);
      const std::int64_t matrix = row / grid_.rows;
      const std::int64_t down = matrix * grid_.down() + row % grid_.rows / grid_.block_rows;
      const std::int64_t first = column / grid_.block_columns, last = (column + n - 1) / grid_.block_columns;
      load(down * grid_.across() + first, last - first + 1, scales);
      const float* factor = scales.values.data() + (down * grid_.across() + first - scales.first);
      for (std::int64_t at = column; at < column + n; ++factor) {
        const std::int64_t end = std::min(column + n, (at / grid_.block_columns + 1) * grid_.block_columns);
        multiply(out, end - at, *factor);
        out += (end - at) * element_size();
        at = end;
      }
      begin += n;
      count -= n;
    }
  }

  void load(std::int64_t first, std::int64_t count, ScaleRow& scales) const {
    const auto have = static_cast<std::int64_t>(scales.values.size());
    if (first >= scales.first && first + count <= scales.first + have) return;
    scales.first = first;
    scales.values.resize(static_cast<std::size_t>(count));
    scales_->read(first, count, reinterpret_cast<std::byte*>(scales.values.data()));
  }

  static void multiply(std::byte* values, std::int64_t count, float factor) {
    for (std::int64_t i = 0; i < count; ++i, values += sizeof(float)) {
      float value = 0;
      std::memcpy(&value, values, sizeof value);
      value *= factor;
      // The compiler decides which of two NaNs a product is, and the sign of a new NaN.
      value = std::isnan(value) ? std::numeric_limits<float>::quiet_NaN() : value;
      std::memcpy(values, &value, sizeof value);
    }
  }

  SourcePtr values_, scales_;
  BlockGrid grid_;
};

/// bfloat16 values of the 4-bit floats under each scale.
std::array<std::array<std::uint16_t, 16>, 256> mxfp4_values() {
  constexpr std::array<float, 8> kMagnitudes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  std::array<std::array<std::uint16_t, 16>, 256> values{};
  for (std::uint32_t scale = 0; scale < values.size(); ++scale) {
    for (std::size_t code = 0; code < 16; ++code) {
      const double magnitude =
          std::ldexp(static_cast<double>(kMagnitudes[code % 8]), static_cast<int>(scale) - 127);
      const std::uint16_t sign = code < 8 ? 0 : 0x8000;
      values[scale][code] = static_cast<std::uint16_t>(sign | bf16_from_double(magnitude));
    }
  }
  return values;
}

class Mxfp4Source final : public Source {
 public:
  Mxfp4Source(SourcePtr blocks, SourcePtr scales)
      : Source(DType::bf16, fmt::format("mxfp4({},{})", blocks->text(), scales->text()),
               std::max(blocks->depth(), scales->depth()) + 1),
        blocks_(std::move(blocks)),
        scales_(std::move(scales)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    static const auto kValues = mxfp4_values();
    const std::int64_t step = tile_elements(element_size(), count);
    const auto codes = make_buffer(step / 2 + 1), scales = make_buffer(step / kGroup + 2);
    for (std::int64_t end = begin + count; begin < end;) {
      const std::int64_t n = std::min(step, end - begin);
      const std::int64_t first_code = begin / 2, first_scale = begin / kGroup;
      blocks_->read(first_code, (begin + n - 1) / 2 - first_code + 1, codes.get());
      scales_->read(first_scale, (begin + n - 1) / kGroup - first_scale + 1, scales.get());
      for (std::int64_t i = begin; i < begin + n; ++i, out += sizeof(std::uint16_t)) {
        const auto pair = std::to_integer<std::size_t>(codes[static_cast<std::size_t>(i / 2 - first_code)]);
        const auto scale =
            std::to_integer<std::size_t>(scales[static_cast<std::size_t>(i / kGroup - first_scale)]);
        std::memcpy(out, &kValues[scale][i % 2 == 0 ? pair & 0xfU : pair >> 4], sizeof(std::uint16_t));
      }
      begin += n;
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return origins_by_unit(*blocks_, 1, 2, begin, count);
  }

 private:
  static constexpr std::int64_t kGroup = 32;
  SourcePtr blocks_, scales_;
};

[[noreturn]] void fail_operand(std::string_view what, const Weight& weight, std::string_view expected) {
  fail(ErrorCode::shape, "{} are {}{}, expected {}", what, to_string(weight.dtype()),
       text::shape_text(weight.shape()), expected);
}

}  // namespace
}  // namespace detail

using detail::WeightExpr;

Weight from_float8(const Weight& codes, Float8 format) {
  if (codes.dtype() != DType::u8) detail::fail_operand("codes of 8-bit floats", codes, "uint8");
  const std::array<float, 256> values = float8_values(format);
  const auto bytes = std::as_bytes(std::span(values));
  return look_up(codes, Weight::constant(DType::f32, {256}, {bytes.begin(), bytes.end()}));
}

std::vector<std::int64_t> shape_of_scales(std::vector<std::int64_t> values, std::int64_t rows,
                                          std::int64_t columns) {
  const std::size_t rank = values.size();
  values[rank - 2] = divide_up(values[rank - 2], rows);
  values[rank - 1] = divide_up(values[rank - 1], columns);
  return values;
}

Weight scale_blocks(const Weight& values, const Weight& scales, std::int64_t rows, std::int64_t columns) {
  const std::vector<std::int64_t>& shape = values.shape();
  const std::size_t rank = shape.size();
  if (values.dtype() != DType::f32 || rank < 2 || rows < 1 || columns < 1) {
    detail::fail_operand("values to be scaled in blocks", values,
                         "a matrix of float32, or several of them, and blocks that are not empty");
  }
  const std::vector<std::int64_t> expected = shape_of_scales(shape, rows, columns);
  if (scales.shape() != expected) {
    detail::fail_operand("scales", scales,
                         fmt::format("{} for blocks of {} x {} of {}", text::shape_text(expected), rows,
                                     columns, text::shape_text(shape)));
  }
  const detail::BlockGrid grid{shape[rank - 2], shape[rank - 1], rows, columns};
  const Weight factors = scales.cast(DType::f32);
  return WeightExpr::wrap({.source = std::make_shared<detail::ScaledSource>(
                               WeightExpr::of(values).source, WeightExpr::of(factors).source, grid),
                           .shape = shape,
                           .name = values.name()});
}

Weight from_mxfp4(const Weight& blocks, const Weight& scales) {
  detail::Dims shape = blocks.shape();
  if (blocks.dtype() != DType::u8 || shape.size() < 2 || shape.back() != 16) {
    detail::fail_operand("blocks of 4-bit floats", blocks, "uint8[..., groups, 16]");
  }
  shape.pop_back();
  if (scales.dtype() != DType::u8 || scales.shape() != shape) {
    detail::fail_operand("scales of 4-bit floats", scales, "uint8" + text::shape_text(shape));
  }
  shape.push_back(32);
  if (!element_count(shape)) detail::fail_operand("blocks of 4-bit floats", blocks, "fewer");
  shape.pop_back();
  shape.back() *= 32;
  return WeightExpr::wrap({.source = std::make_shared<detail::Mxfp4Source>(WeightExpr::of(blocks).source,
                                                                           WeightExpr::of(scales).source),
                           .shape = std::move(shape),
                           .name = blocks.name()});
}

}  // namespace onnxport
