#include "ir/weight_packed.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "ir/weight_annotated.h"
#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

/// Rows of codes: how many, and how many bytes they take.
struct PackedRows {
  std::int64_t columns, bytes;
};

class UnpackSource final : public Source {
 public:
  UnpackSource(SourcePtr words, const PackedRows& rows, const Packing& packing)
      : Source(DType::u8,
               fmt::format("unpack({}x{},{}[{}]+{},{})", rows.columns, rows.bytes, packing.bits,
                           fmt::join(packing.places, ","), packing.increment, words->text()),
               words->depth() + 1),
        words_(std::move(words)),
        rows_(rows),
        bits_(packing.bits),
        increment_(packing.increment) {
    for (std::size_t i = 0; i < shifts_.size(); ++i) shifts_[i] = packing.places[i] * packing.bits;
  }

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t unit = words_->element_size();
    const auto tile = make_buffer(kTileBytes + kSpare);
    while (count > 0) {
      const std::int64_t row = begin / rows_.columns, column = begin % rows_.columns;
      const std::int64_t octet = column / 8;
      // From whole words to whole words, as far as the tile and the row go.
      const std::int64_t first = octet * bits_ / unit * unit;
      const std::int64_t most = (kTileBytes - 2 * unit) / bits_ * 8 - 8;
      const std::int64_t n = std::min({count, rows_.columns - column, most});
      const std::int64_t wanted = ((column + n - 1) / 8 + 1) * bits_;
      const std::int64_t end = std::min(rows_.bytes, (wanted + unit - 1) / unit * unit);
      words_->read((row * rows_.bytes + first) / unit, (end - first) / unit, tile.get());
      std::memset(tile.get() + (end - first), 0, kSpare);
      decode(tile.get() + (octet * bits_ - first), column % 8, n, out);
      begin += n;
      count -= n;
      out += n;
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    const std::int64_t unit = words_->element_size();
    if (rows_.columns % 8 != 0 || rows_.columns / 8 * bits_ != rows_.bytes) {
      return origins_by_unit(*words_, rows_.bytes / unit, rows_.columns, begin, count);
    }
    const std::int64_t bytes = std::lcm(bits_, unit);  // whole words with whole octets
    return origins_by_unit(*words_, bytes / unit, bytes / bits_ * 8, begin, count);
  }

 private:
  static constexpr std::int64_t kSpare = 16;  ///< bytes after the tile that may be read

  /// `count` codes, beginning with number `skip` of the octet at `from`.
  void decode(const std::byte* from, std::int64_t skip, std::int64_t count, std::byte* out) const {
    if (skip > 0) {
      std::array<std::byte, 8> codes{};
      decode_octet(from, codes.data());
      const std::int64_t n = std::min(8 - skip, count);
      std::memcpy(out, codes.data() + skip, static_cast<std::size_t>(n));
      from += bits_;
      out += n;
      count -= n;
    }
    for (; count >= 8; count -= 8, from += bits_, out += 8) decode_octet(from, out);
    if (count > 0) {
      std::array<std::byte, 8> codes{};
      decode_octet(from, codes.data());
      std::memcpy(out, codes.data(), static_cast<std::size_t>(count));
    }
  }

  void decode_octet(const std::byte* from, std::byte* out) const {
    std::uint64_t octet = 0;
    std::memcpy(&octet, from, sizeof octet);
    const std::uint64_t mask = (std::uint64_t{1} << bits_) - 1;
    for (std::size_t i = 0; i < 8; ++i) {
      out[i] = static_cast<std::byte>(((octet >> shifts_[i]) + increment_) & mask);
    }
  }

  SourcePtr words_;
  PackedRows rows_;
  std::int64_t bits_;
  std::uint8_t increment_;
  std::array<int, 8> shifts_{};
};

class LookUpSource final : public Source {
 public:
  LookUpSource(SourcePtr codes, const SourcePtr& table, std::int64_t entries)
      : Source(DType::f32, fmt::format("look_up({},{})", codes->text(), table->text()), codes->depth() + 1),
        codes_(std::move(codes)) {
    table->read(0, entries, reinterpret_cast<std::byte*>(values_.data()));
  }

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t step = tile_elements(element_size(), count);
    const auto tile = make_buffer(step);
    for (std::int64_t done = 0; done < count; done += step) {
      const std::int64_t n = std::min(step, count - done);
      codes_->read(begin + done, n, tile.get());
      for (std::int64_t i = 0; i < n; ++i, out += sizeof(float)) {
        std::memcpy(out, &values_[std::to_integer<std::size_t>(tile[static_cast<std::size_t>(i)])],
                    sizeof(float));
      }
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return codes_->origins(begin, count);
  }

 private:
  SourcePtr codes_;
  std::array<float, 256> values_{};
};

}  // namespace
}  // namespace detail

using detail::WeightExpr;

Weight unpack(const Weight& words, const Packing& packing, std::int64_t columns) {
  detail::Dims shape = words.shape();
  const auto size = static_cast<std::int64_t>(size_of(words.dtype()));
  const std::int64_t width = shape.empty() ? 0 : shape.back() * size;
  // In this order, no product overflows.
  if (!is_integer(words.dtype()) || packing.bits < 1 || packing.bits > 8 || columns < 0 ||
      columns > width * 8 / packing.bits) {
    fail(ErrorCode::shape, "cannot unpack {} columns of {} bits from {}{}", columns, packing.bits,
         to_string(words.dtype()), text::shape_text(shape));
  }
  shape.back() = columns;
  if (words.numel() == 0 || columns == 0) return Weight::constant(DType::u8, shape, {}, words.name());
  detail::PackedRows rows{columns, width};
  // Rows without a gap between them are one.
  if (columns % 8 == 0 && columns / 8 * packing.bits == width) {
    rows = {words.numel() / (width / size) * columns, words.numel() * size};
  }
  return WeightExpr::wrap(
      {.source = std::make_shared<detail::UnpackSource>(WeightExpr::of(words).source, rows, packing),
       .shape = std::move(shape),
       .name = words.name()});
}

Weight look_up(const Weight& codes, const Weight& table) {
  const bool fits = codes.dtype() == DType::u8 && table.dtype() == DType::f32 && table.shape().size() == 1 &&
                    table.numel() <= 256;
  if (!fits) {
    fail(ErrorCode::shape, "cannot look up {}{} in {}{}, expected uint8 and float32 [at most 256]",
         to_string(codes.dtype()), text::shape_text(codes.shape()), to_string(table.dtype()),
         text::shape_text(table.shape()));
  }
  return WeightExpr::wrap({.source = std::make_shared<detail::LookUpSource>(
                               WeightExpr::of(codes).source, WeightExpr::of(table).source, table.numel()),
                           .shape = codes.shape(),
                           .name = codes.name()});
}

Weight described(const Weight& values, PackedWeight packed) {
  return detail::annotated(values, std::move(packed));
}

std::shared_ptr<const PackedWeight> packed_of(const Weight& weight) {
  const WeightExpr* expr = &WeightExpr::of(weight);
  int turns = 0;
  bool reshaped = false;
  for (; expr->input; expr = expr->input.get()) {
    const detail::Dims& before = expr->input->shape;
    if (expr->axes.empty()) {
      reshaped = reshaped || expr->shape != before;
      continue;
    }
    if (before.size() != 2 || expr->shape != detail::Dims{before[1], before[0]}) return nullptr;
    ++turns;
  }
  if (turns % 2 != 0 || (turns > 0 && reshaped)) return nullptr;
  const auto* source = dynamic_cast<const detail::AnnotatedSource<PackedWeight>*>(expr->source.get());
  const bool same = source != nullptr && source->annotation()->codes.shape() == weight.shape();
  return same ? source->annotation() : nullptr;
}

PackedWeight take_rows(PackedWeight packed, const Weight& rows) {
  const std::int64_t before = packed.codes.shape().at(0);
  packed.codes = packed.codes.take(rows);
  for (Weight* part : {&packed.scales, &packed.zero_points, &packed.offsets}) {
    if (*part && part->shape().at(0) == before) *part = part->take(rows);
  }
  return packed;
}

std::vector<std::int64_t> columns_by_group(const PackedWeight& packed) {
  const std::vector<std::int64_t>& groups = packed.group_of;
  if (std::is_sorted(groups.begin(), groups.end())) return {};
  std::vector<std::int64_t> order(groups.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return groups[static_cast<std::size_t>(a)] < groups[static_cast<std::size_t>(b)];
  });
  return order;
}

}  // namespace onnxport
