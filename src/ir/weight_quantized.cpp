#include "ir/weight_quantized.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "ir/weight_scan.h"
#include "support/fail.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

using ScanPtr = std::shared_ptr<const BlockScan>;

class CodesSource final : public Source {
 public:
  CodesSource(ScanPtr scan, const std::string& text, int depth)
      : Source(DType::u8, fmt::format("codes({})", text), depth), scan_(std::move(scan)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    scan_->read_codes(begin, count, out);
  }

 private:
  ScanPtr scan_;
};

class ScalesSource final : public Source {
 public:
  ScalesSource(ScanPtr scan, const std::string& text, int depth)
      : Source(DType::f32, fmt::format("scales({})", text), depth), scan_(std::move(scan)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    scan_->read_scales(begin, count, out);
  }

 private:
  ScanPtr scan_;
};

/// Bytes of the zero points of a row of blocks.
std::int64_t zero_point_bytes(std::int64_t across, int bits) { return (across - 1) / (8 / bits) + 1; }

class ZeroPointsSource final : public Source {
 public:
  ZeroPointsSource(ScanPtr scan, const std::string& text, int depth, int bits)
      : Source(DType::u8, fmt::format("zero_points({})", text), depth), scan_(std::move(scan)), bits_(bits) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t across = scan_->layout().across(), per_byte = 8 / bits_;
    const std::int64_t row_bytes = zero_point_bytes(across, bits_);
    std::vector<std::uint8_t> zero_points;
    while (count > 0) {
      const std::int64_t row = begin / row_bytes, byte = begin % row_bytes;
      const std::int64_t bytes = std::min({count, row_bytes - byte, kTileBytes});
      const std::int64_t first = byte * per_byte, blocks = std::min(across - first, bytes * per_byte);
      zero_points.resize(static_cast<std::size_t>(blocks));
      scan_->read_zero_points(row * across + first, blocks, zero_points.data());
      pack_zero_points(zero_points.data(), blocks, bits_, reinterpret_cast<std::uint8_t*>(out));
      begin += bytes;
      count -= bytes;
      out += bytes;
    }
  }

 private:
  ScanPtr scan_;
  int bits_;
};

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
    return row * zero_point_bytes(layout_.across(), parameters_.bits) + inside * parameters_.bits / 8;
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

[[noreturn]] void fail_operand(std::string_view what, const Weight& weight, std::string_view expected) {
  fail(ErrorCode::shape, "{} '{}' {}{}, expected {}", what, weight.name(), to_string(weight.dtype()),
       text::shape_text(weight.shape()), expected);
}

void check_block_size(std::int64_t block_size) {
  if (block_size < 16 || block_size > 256 || !std::has_single_bit(static_cast<std::uint64_t>(block_size))) {
    fail(ErrorCode::invalid_argument, "blocks of {} values, expected 16, 32, 64, 128 or 256", block_size);
  }
}

void check(const BlockParameters& parameters) {
  check_block_size(parameters.block_size);
  const int bits = parameters.bits;
  const bool k_quant = parameters.algorithm == BlockAlgorithm::k_quant;
  if (bits != 4 && bits != 8 && (bits != 2 || k_quant)) {
    fail(ErrorCode::invalid_argument, "codes of {} bits, expected {}", bits,
         k_quant ? "4 or 8 for k_quant" : "2, 4 or 8");
  }
}

void check_matrix(const Weight& matrix) {
  if (!is_float(matrix.dtype()) || matrix.shape().size() != 2 || matrix.numel() == 0) {
    fail_operand("cannot quantize", matrix, "a matrix of floats that is not empty");
  }
}

/// `matrix` with one block after the other; throws if the codes would be too many.
BlockLayout make_layout(const Weight& matrix, const BlockParameters& parameters) {
  const BlockLayout layout{matrix.shape()[0], matrix.shape()[1], parameters.block_size,
                           parameters.block_bytes(), parameters.has_zero_points()};
  if (!element_count(Dims{layout.rows, layout.across(), layout.block_bytes})) {
    fail_operand("cannot quantize", matrix, "a smaller matrix");
  }
  return layout;
}

}  // namespace
}  // namespace detail

QuantizedBlocks quantize_blocks(const Weight& matrix, const BlockParameters& parameters) {
  detail::check(parameters);
  detail::check_matrix(matrix);
  const detail::BlockLayout layout = detail::make_layout(matrix, parameters);
  detail::NamedValues values = detail::NamedValues::of(matrix);
  const int bits = parameters.bits, depth = values.source->depth() + 1;
  const bool k_quant = parameters.algorithm == BlockAlgorithm::k_quant;
  const std::string text =
      fmt::format("{}{}{},{},{}x{},{}", k_quant ? "k" : "rtn", bits, layout.has_zero_points ? "" : "s",
                  layout.block_size, layout.rows, layout.columns, values.source->text());
  const SumOrder order = layout.across() == 1 && layout.rows > 1 ? SumOrder::sequential : SumOrder::pairwise;
  const auto scan = std::make_shared<const detail::BlockScan>(
      std::move(values), layout, [=](const float* run, std::int64_t count, BlockResults results) {
        quantize_blocks(run, count, parameters, results, order);
      });
  const auto part = [&](detail::SourcePtr source, detail::Dims shape, std::string_view suffix) {
    return detail::make_part(matrix, std::move(source), std::move(shape), suffix);
  };
  QuantizedBlocks result;
  result.codes = part(std::make_shared<detail::CodesSource>(scan, text, depth),
                      {layout.rows, layout.across(), layout.block_bytes}, fmt::format("Q{}", bits));
  result.scales = part(std::make_shared<detail::ScalesSource>(scan, text, depth),
                       {layout.rows, layout.across()}, "scales");
  if (layout.has_zero_points) {
    result.zero_points = part(std::make_shared<detail::ZeroPointsSource>(scan, text, depth, bits),
                              {layout.rows, detail::zero_point_bytes(layout.across(), bits)}, "zero_points");
  }
  return result;
}

Weight dequantize_blocks(const QuantizedBlocks& blocks, const BlockParameters& parameters,
                         std::int64_t columns) {
  using detail::WeightExpr;
  detail::check(parameters);
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
  const detail::Dims zeros{layout.rows, detail::zero_point_bytes(layout.across(), parameters.bits)};
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

QuantizedBnb4 quantize_bnb4(const Weight& matrix, bool nf4, std::int64_t block_size) {
  detail::check_block_size(block_size);
  detail::check_matrix(matrix);
  const detail::BlockLayout layout{1, matrix.numel(), block_size, block_size / 2, false};
  detail::NamedValues values = detail::NamedValues::of(matrix);
  const int depth = values.source->depth() + 1;
  const std::string text =
      fmt::format("{},{},{},{}", nf4 ? "nf4" : "fp4", block_size, layout.columns, values.source->text());
  const Bnb4Type type = nf4 ? Bnb4Type::nf4 : Bnb4Type::fp4;
  const auto scan = std::make_shared<const detail::BlockScan>(
      std::move(values), layout, [=](const float* run, std::int64_t count, BlockResults results) {
        quantize_bnb4(run, count, type, block_size, results.codes, results.scales);
      });
  return {detail::make_part(matrix, std::make_shared<detail::CodesSource>(scan, text, depth),
                            {(matrix.numel() + 1) / 2}, "Bnb4"),
          detail::make_part(matrix, std::make_shared<detail::ScalesSource>(scan, text, depth),
                            {layout.across()}, "absmax")};
}

}  // namespace onnxport
