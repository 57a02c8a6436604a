#include "ir/weight_quantized.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/weight_block_layout.h"
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
  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return scan_->origins(scan_->layout().block_bytes, begin, count);
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
  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return scan_->origins(1, begin, count);
  }

 private:
  ScanPtr scan_;
};

class ZeroPointsSource final : public Source {
 public:
  ZeroPointsSource(ScanPtr scan, const std::string& text, int depth, int bits)
      : Source(DType::u8, fmt::format("zero_points({})", text), depth), scan_(std::move(scan)), bits_(bits) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const BlockLayout& layout = scan_->layout();
    const std::int64_t across = layout.across(), per_byte = 8 / bits_;
    const std::int64_t row_bytes = layout.zero_point_bytes(bits_);
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

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    const BlockLayout& layout = scan_->layout();
    const std::int64_t per_byte = 8 / bits_;
    if (layout.even() && layout.across() % per_byte == 0) {
      return origins_by_unit(scan_->values(), layout.block_size * per_byte, 1, begin, count);
    }
    return origins_by_unit(scan_->values(), layout.columns, layout.zero_point_bytes(bits_), begin, count);
  }

 private:
  ScanPtr scan_;
  int bits_;
};

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
  detail::check_parameters(parameters);
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
                              {layout.rows, layout.zero_point_bytes(bits)}, "zero_points");
  }
  return result;
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
