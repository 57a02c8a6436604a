// The values of quantized blocks.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ir/weight_block_layout.h"
#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "ir/weight_quantized.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

class DequantizedSource final : public Source {
 public:
  DequantizedSource(SourcePtr codes, SourcePtr scales, SourcePtr zero_points,
                    const BlockParameters& parameters, const BlockLayout& layout)
      : Source(DType::f32, text_of(*codes, *scales, zero_points.get(), parameters, layout),
               std::max({codes->depth(), scales->depth(), zero_points ? zero_points->depth() : 0}) + 1),
        codes_(std::move(codes)),
        scales_(std::move(scales)),
        zero_points_(std::move(zero_points)),
        parameters_(parameters),
        layout_(layout) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (count <= 0) return;
    const std::int64_t step = std::max<std::int64_t>(kTileBytes / 4 / layout_.block_bytes, 1);
    const std::int64_t end = begin + count, after = block_of(end - 1) + 1;
    for (std::int64_t block = block_of(begin); block < after; block += step) {
      const std::int64_t blocks = std::min(step, after - block);
      const std::int64_t first = std::max(begin, layout_.first_value(block));
      const std::int64_t last = std::min(end, layout_.first_value(block + blocks));
      read_blocks(block, blocks, first, last, out + (first - begin) * element_size());
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    const std::int64_t bytes = layout_.block_bytes;
    if (layout_.even()) return origins_by_unit(*codes_, bytes, layout_.block_size, begin, count);
    return origins_by_unit(*codes_, layout_.across() * bytes, layout_.columns, begin, count);
  }

 private:
  static std::string text_of(const Source& codes, const Source& scales, const Source* zero_points,
                             const BlockParameters& parameters, const BlockLayout& layout) {
    return fmt::format("dequantized({},{},{}x{},{},{},{})", parameters.bits, parameters.block_size,
                       layout.rows, layout.columns, codes.text(), scales.text(),
                       zero_points != nullptr ? zero_points->text() : "");
  }

  std::int64_t block_of(std::int64_t value) const {
    return value / layout_.columns * layout_.across() + value % layout_.columns / layout_.block_size;
  }

  /// The byte that holds the zero point of a block.
  std::int64_t zero_point_byte(std::int64_t block) const {
    const std::int64_t row = block / layout_.across(), inside = block % layout_.across();
    return row * layout_.zero_point_bytes(parameters_.bits) + inside * parameters_.bits / 8;
  }

  /// Values [first, end) of `blocks` blocks from `block` on.
  void read_blocks(std::int64_t block, std::int64_t blocks, std::int64_t first, std::int64_t end,
                   std::byte* out) const {
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(blocks * layout_.block_bytes)), zero_points;
    std::vector<float> scales(static_cast<std::size_t>(blocks));
    std::vector<float> values(static_cast<std::size_t>(layout_.block_size));
    codes_->read(block * layout_.block_bytes, blocks * layout_.block_bytes,
                 reinterpret_cast<std::byte*>(codes.data()));
    scales_->read(block, blocks, reinterpret_cast<std::byte*>(scales.data()));
    const std::int64_t byte = zero_point_byte(block);
    if (zero_points_) {
      zero_points.resize(static_cast<std::size_t>(zero_point_byte(block + blocks - 1) - byte + 1));
      zero_points_->read(byte, static_cast<std::int64_t>(zero_points.size()),
                         reinterpret_cast<std::byte*>(zero_points.data()));
    }
    for (std::int64_t i = 0; i < blocks; ++i) {
      const std::int64_t start = layout_.first_value(block + i);
      const std::int64_t from = std::max(first, start);
      const std::int64_t n = std::min(end, layout_.first_value(block + i + 1)) - from;
      int zero_point = parameters_.half();
      if (zero_points_) {
        const std::int64_t inside = (block + i) % layout_.across();
        zero_point = get_code(&zero_points[static_cast<std::size_t>(zero_point_byte(block + i) - byte)],
                              parameters_.bits, inside % (8 / parameters_.bits));
      }
      dequantize_block(codes.data() + i * layout_.block_bytes, parameters_.bits,
                       scales[static_cast<std::size_t>(i)], zero_point, from - start, n, values.data());
      std::memcpy(out, values.data(), static_cast<std::size_t>(n) * sizeof(float));
      out += n * element_size();
    }
  }

  SourcePtr codes_, scales_, zero_points_;
  BlockParameters parameters_;
  BlockLayout layout_;
};

}  // namespace
}  // namespace detail

Weight dequantize_blocks(const QuantizedBlocks& blocks, const BlockParameters& parameters,
                         std::int64_t columns) {
  using detail::WeightExpr;
  detail::check_parameters(parameters);
  const detail::Dims& scales = blocks.scales.shape();
  if (blocks.scales.dtype() != DType::f32 || scales.size() != 2 || columns < 1 || scales[0] < 1 ||
      scales[1] != (columns - 1) / parameters.block_size + 1) {
    detail::fail_operand("cannot take scales from", blocks.scales,
                         fmt::format("float32 [N, ceil({} / {})]", columns, parameters.block_size));
  }
  const detail::BlockLayout layout{scales[0], columns, parameters.block_size, parameters.block_bytes(),
                                   static_cast<bool>(blocks.zero_points)};
  const detail::Dims codes{layout.rows, layout.across(), layout.block_bytes};
  if (blocks.codes.dtype() != DType::u8 || blocks.codes.shape() != codes) {
    detail::fail_operand("cannot take codes from", blocks.codes, "uint8" + text::shape_text(codes));
  }
  const detail::Dims zeros{layout.rows, layout.zero_point_bytes(parameters.bits)};
  if (blocks.zero_points &&
      (blocks.zero_points.dtype() != DType::u8 || blocks.zero_points.shape() != zeros)) {
    detail::fail_operand("cannot take zero points from", blocks.zero_points,
                         "uint8" + text::shape_text(zeros));
  }
  const auto source_of = [](const Weight& weight) {
    return weight ? WeightExpr::of(weight).source : nullptr;
  };
  return WeightExpr::wrap({.source = std::make_shared<detail::DequantizedSource>(
                               source_of(blocks.codes), source_of(blocks.scales),
                               source_of(blocks.zero_points), parameters, layout),
                           .shape = {layout.rows, columns},
                           .name = blocks.codes.name()});
}

}  // namespace onnxport
