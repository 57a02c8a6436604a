#include "ir/weight_repack.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "support/fail.h"
#include "support/hash.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

/// Rows of codes: how many codes each has, and how many bytes it takes.
struct Rows {
  std::int64_t codes, bytes;
};

class PackSource final : public Source {
 public:
  PackSource(SourcePtr codes, const Rows& rows, int bits, CodeOrder order)
      : Source(DType::u8,
               fmt::format("pack({}x{},{}{},{})", rows.codes, rows.bytes, bits,
                           order == CodeOrder::high_first ? "h" : "", codes->text()),
               codes->depth() + 1),
        codes_(std::move(codes)),
        rows_(rows),
        bits_(bits),
        per_byte_(8 / bits),
        order_(order) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t most = kTileBytes / per_byte_;
    const auto tile = make_buffer(std::min(count, most) * per_byte_);
    while (count > 0) {
      const std::int64_t row = begin / rows_.bytes, byte = begin % rows_.bytes;
      const std::int64_t n = std::min({count, rows_.bytes - byte, most});
      const std::int64_t first = std::min(byte * per_byte_, rows_.codes);
      const std::int64_t present = std::min(n * per_byte_, rows_.codes - first);
      codes_->read(row * rows_.codes + first, present, tile.get());
      std::memset(tile.get() + present, 0, static_cast<std::size_t>(n * per_byte_ - present));
      pack(tile.get(), n, out);
      begin += n;
      count -= n;
      out += n;
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    if (rows_.codes == rows_.bytes * per_byte_) {
      return origins_by_unit(*codes_, per_byte_, 1, begin, count);
    }
    return origins_by_unit(*codes_, rows_.codes, rows_.bytes, begin, count);
  }

 private:
  void pack(const std::byte* codes, std::int64_t count, std::byte* out) const {
    for (std::int64_t i = 0; i < count; ++i) {
      unsigned packed = 0;
      for (int k = 0; k < per_byte_; ++k) {
        const int place = order_ == CodeOrder::low_first ? k : per_byte_ - 1 - k;
        packed |= std::to_integer<unsigned>(*codes++) << (place * bits_);
      }
      out[i] = static_cast<std::byte>(packed);
    }
  }

  SourcePtr codes_;
  Rows rows_;
  int bits_, per_byte_;
  CodeOrder order_;
};

class ColumnsSource final : public Source {
 public:
  /// `stride`: from row to row of `input`; 0 repeats a single row.
  ColumnsSource(SourcePtr input, std::int64_t width, std::int64_t stride, Dims columns)
      : Source(input->dtype(),
               fmt::format("columns({}x{},{},{})", columns.size(), stride,
                           hash128(std::as_bytes(std::span(columns))), input->text()),
               input->depth() + 1),
        input_(std::move(input)),
        width_(width),
        stride_(stride),
        columns_(std::move(columns)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (count <= 0) return;
    const auto across = static_cast<std::int64_t>(columns_.size());
    const std::int64_t end = begin + count;
    while (begin < end) {
      const std::int64_t row = begin / across, from = begin % across;
      const std::int64_t whole = from == 0 ? (end - begin) / across : 0;
      if (stride_ == 0 || whole == 0) {
        const std::int64_t n = std::min(end - begin, across - from);
        out = count <= kFew ? read_each(row, from, n, out) : take(cut_row(row, n).get(), from, from + n, out);
        begin += n;
      } else {
        out = take_rows(row, whole, out);
        begin += whole * across;
      }
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    if (stride_ == 0) return Source::origins(begin, count);
    return origins_by_unit(*input_, width_, static_cast<std::int64_t>(columns_.size()), begin, count);
  }

 private:
  using RowBytes = std::shared_ptr<const std::byte[]>;
  static constexpr std::int64_t kFew = 256;  ///< elements: a look at a block does not read rows

  std::byte* read_each(std::int64_t row, std::int64_t first, std::int64_t n, std::byte* out) const {
    for (std::int64_t i = first; i < first + n; ++i, out += element_size())
      input_->read(row * stride_ + columns_[static_cast<std::size_t>(i)], 1, out);
    return out;
  }

  /// A row of the input of which a range needs only `n` results. It stays for the range with the others, so
  /// that no row is read twice: an input that is transposed would be transposed again.
  RowBytes cut_row(std::int64_t row, std::int64_t n) const {
    constexpr std::size_t kMost = 16;
    const std::lock_guard lock(mutex_);
    auto found = std::find_if(cut_.begin(), cut_.end(), [&](const CutRow& one) { return one.row == row; });
    if (found == cut_.end()) {
      std::shared_ptr<std::byte[]> bytes = make_buffer(width_ * element_size());
      input_->read(row * stride_, width_, bytes.get());
      if (cut_.size() == kMost) cut_.erase(cut_.begin());
      found = cut_.insert(cut_.end(), {row, static_cast<std::int64_t>(columns_.size()), std::move(bytes)});
    }
    RowBytes bytes = found->bytes;
    found->left -= n;
    if (found->left <= 0) cut_.erase(found);
    return bytes;
  }

  std::byte* take_rows(std::int64_t first, std::int64_t count, std::byte* out) const {
    const std::int64_t bytes = width_ * element_size();
    const std::int64_t step = std::clamp<std::int64_t>(kTileBytes / bytes, 1, count);
    const auto tile = make_buffer(step * bytes);
    for (std::int64_t row = 0; row < count; row += step) {
      const std::int64_t n = std::min(step, count - row);
      input_->read((first + row) * stride_, n * width_, tile.get());
      for (std::int64_t i = 0; i < n; ++i)
        out = take(tile.get() + i * bytes, 0, static_cast<std::int64_t>(columns_.size()), out);
    }
    return out;
  }

  std::byte* take(const std::byte* row, std::int64_t begin, std::int64_t end, std::byte* out) const {
    const std::int64_t size = element_size();
    for (std::int64_t i = begin; i < end; ++i, out += size) {
      std::memcpy(out, row + columns_[static_cast<std::size_t>(i)] * size, static_cast<std::size_t>(size));
    }
    return out;
  }

  struct CutRow {
    std::int64_t row, left;
    RowBytes bytes;
  };

  SourcePtr input_;
  std::int64_t width_, stride_;
  Dims columns_;
  mutable std::mutex mutex_;
  mutable std::vector<CutRow> cut_;
};

}  // namespace
}  // namespace detail

using detail::WeightExpr;

Weight pack_rows(const Weight& codes, int bits, std::int64_t width, CodeOrder order) {
  const detail::Dims& shape = codes.shape();
  if (codes.dtype() != DType::u8 || shape.size() != 2 || codes.numel() == 0 || width < shape[1] ||
      (bits != 2 && bits != 4 && bits != 8)) {
    fail(ErrorCode::shape, "cannot pack rows of {} codes of {} bits from {}{}", width, bits,
         to_string(codes.dtype()), text::shape_text(shape));
  }
  const std::int64_t per_byte = 8 / bits, bytes = (width - 1) / per_byte + 1;
  if (bits == 8 && width == shape[1]) return codes;
  // Rows without a gap between them are one.
  const bool dense = shape[1] == bytes * per_byte;
  const detail::Rows rows{dense ? codes.numel() : shape[1], dense ? shape[0] * bytes : bytes};
  return WeightExpr::wrap(
      {.source = std::make_shared<detail::PackSource>(WeightExpr::of(codes).source, rows, bits, order),
       .shape = {shape[0], bytes},
       .name = codes.name()});
}

Weight take_columns(const Weight& matrix, std::int64_t rows, std::vector<std::int64_t> columns) {
  const detail::Dims& shape = matrix.shape();
  const auto is_outside = [&](std::int64_t column) { return column < 0 || column >= shape[1]; };
  if (shape.size() != 2 || rows < 1 || columns.empty() || (shape[0] != rows && shape[0] != 1) ||
      std::any_of(columns.begin(), columns.end(), is_outside)) {
    fail(ErrorCode::shape, "cannot take {} columns of {} rows from {}{}", columns.size(), rows,
         to_string(matrix.dtype()), text::shape_text(shape));
  }
  const auto across = static_cast<std::int64_t>(columns.size());
  const std::int64_t stride = shape[0] == rows ? shape[1] : 0;
  return WeightExpr::wrap({.source = std::make_shared<detail::ColumnsSource>(
                               WeightExpr::of(matrix).source, shape[1], stride, std::move(columns)),
                           .shape = {rows, across},
                           .name = matrix.name()});
}

}  // namespace onnxport
