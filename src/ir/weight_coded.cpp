#include "ir/weight_coded.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "ir/weight_annotated.h"
#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "support/fail.h"
#include "support/quantize_bnb4.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

SourcePtr source_of(const Weight& weight) { return WeightExpr::of(weight).source; }

/// The values of NF4 or FP4 codes.
class Bnb4ValuesSource final : public Source {
 public:
  Bnb4ValuesSource(const Bnb4Codes& codes, std::int64_t count)
      : Source(DType::f32,
               fmt::format("bnb4({},{},{},{})", codes.type == Bnb4Type::nf4 ? "nf4" : "fp4", codes.block_size,
                           source_of(codes.parts.codes)->text(), source_of(codes.parts.absmax)->text()),
               source_of(codes.parts.codes)->depth() + 1),
        codes_(source_of(codes.parts.codes)),
        magnitudes_(source_of(codes.parts.absmax)),
        type_(codes.type),
        block_(codes.block_size),
        count_(count) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t step = kTileBytes / element_size() / block_ * block_;
    const std::int64_t end = begin + count;
    std::vector<std::uint8_t> codes;
    std::vector<float> magnitudes, values;
    for (std::int64_t at = begin / block_ * block_; at < end; at += step) {  // whole blocks
      const std::int64_t n = std::min({step, count_ - at, (end - at + block_ - 1) / block_ * block_});
      codes.resize(static_cast<std::size_t>((n + 1) / 2));
      magnitudes.resize(static_cast<std::size_t>((n + block_ - 1) / block_));
      values.resize(static_cast<std::size_t>(n));
      codes_->read(at / 2, (n + 1) / 2, reinterpret_cast<std::byte*>(codes.data()));
      magnitudes_->read(at / block_, static_cast<std::int64_t>(magnitudes.size()),
                        reinterpret_cast<std::byte*>(magnitudes.data()));
      dequantize_bnb4(codes.data(), n, type_, block_, magnitudes.data(), values.data());
      const std::int64_t first = std::max(begin, at), last = std::min(end, at + n);
      std::memcpy(out, values.data() + (first - at), static_cast<std::size_t>(last - first) * sizeof(float));
      out += (last - first) * element_size();
    }
  }

 private:
  SourcePtr codes_, magnitudes_;
  Bnb4Type type_;
  std::int64_t block_, count_;
};

/// The values of 8-bit codes, seen as [outer, channels, inner].
class TensorValuesSource final : public Source {
 public:
  TensorValuesSource(const QuantizedTensor& parts, std::int64_t channels, std::int64_t inner)
      : Source(DType::f32,
               fmt::format("linear({}x{},{},{})", channels, inner, source_of(parts.codes)->text(),
                           source_of(parts.scale)->text()),
               source_of(parts.codes)->depth() + 1),
        codes_(source_of(parts.codes)),
        scale_(source_of(parts.scale)),
        zero_point_(source_of(parts.zero_point)),
        channels_(channels),
        inner_(inner) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (count <= 0) return;
    // The channels of these elements, if they do not wrap around.
    const std::int64_t first = begin / inner_, last = (begin + count - 1) / inner_;
    const bool wraps = first / channels_ != last / channels_;
    const std::int64_t base = wraps ? 0 : first % channels_, used = wraps ? channels_ : last - first + 1;
    std::vector<float> scales(static_cast<std::size_t>(used));
    std::vector<std::byte> zeros(static_cast<std::size_t>(used));
    scale_->read(base, used, reinterpret_cast<std::byte*>(scales.data()));
    zero_point_->read(base, used, zeros.data());
    const std::int64_t step = tile_elements(element_size(), count);
    const auto tile = make_buffer(step);
    for (std::int64_t done = 0; done < count; done += step) {
      const std::int64_t n = std::min(step, count - done);
      codes_->read(begin + done, n, tile.get());
      for (std::int64_t i = 0; i < n; ++i, out += sizeof(float)) {
        const auto channel = static_cast<std::size_t>((begin + done + i) / inner_ % channels_ - base);
        const int difference = integer(tile[static_cast<std::size_t>(i)]) - integer(zeros[channel]);
        const float value = static_cast<float>(difference) * scales[channel];
        std::memcpy(out, &value, sizeof value);
      }
    }
  }

 private:
  int integer(std::byte code) const {
    return codes_->dtype() == DType::i8 ? static_cast<std::int8_t>(code) : std::to_integer<int>(code);
  }

  SourcePtr codes_, scale_, zero_point_;
  std::int64_t channels_, inner_;
};

Weight values_of(const BlockCodes& codes) {
  return dequantize_blocks(codes.parts, codes.parameters, codes.columns);
}

Weight values_of(const Bnb4Codes& codes) {
  const std::int64_t bytes = codes.parts.codes.numel(), columns = codes.columns;
  const std::int64_t count = columns < 1 ? 0 : bytes * 2 / columns * columns;
  const std::int64_t blocks = codes.block_size < 1 ? 0 : (count + codes.block_size - 1) / codes.block_size;
  if (count == 0 || (count + 1) / 2 != bytes || codes.parts.absmax.numel() != blocks) {
    fail(ErrorCode::shape, "{} bytes of 4-bit codes and {} scales do not fit {} columns in blocks of {}",
         bytes, codes.parts.absmax.numel(), columns, codes.block_size);
  }
  return WeightExpr::wrap({.source = std::make_shared<Bnb4ValuesSource>(codes, count),
                           .shape = {count / columns, columns},
                           .name = codes.parts.codes.name()});
}

Weight values_of(const TensorCodes& codes) {
  const Dims& shape = codes.parts.codes.shape();
  std::int64_t channels = 1, inner = codes.parts.codes.numel();
  if (codes.axis) {
    const auto axis = static_cast<std::size_t>(*codes.axis);
    channels = shape.at(axis);
    inner = 1;
    for (std::size_t i = axis + 1; i < shape.size(); ++i) inner *= shape[i];
  }
  if (codes.parts.scale.numel() != channels || codes.parts.zero_point.numel() != channels) {
    fail(ErrorCode::shape, "codes{} of '{}' have {} scales and {} zero points, expected {}",
         text::shape_text(shape), codes.parts.codes.name(), codes.parts.scale.numel(),
         codes.parts.zero_point.numel(), channels);
  }
  return WeightExpr::wrap({.source = std::make_shared<TensorValuesSource>(codes.parts, channels, inner),
                           .shape = shape,
                           .name = codes.parts.codes.name()});
}

}  // namespace
}  // namespace detail

namespace {

std::int64_t bytes_of(const Weight& part) {
  return part ? part.numel() * static_cast<std::int64_t>(size_of(part.dtype())) : 0;
}

}  // namespace

Weight coded(Codes codes) {
  const Weight values = std::visit([](const auto& kind) { return detail::values_of(kind); }, codes);
  return detail::annotated(values, std::move(codes));
}

std::shared_ptr<const Codes> codes_of(const Weight& weight) { return detail::annotation_of<Codes>(weight); }

std::int64_t stored_bytes(const Codes& codes, DType scales) {
  const auto scaled = [&](const Weight& part) {
    return part.numel() * static_cast<std::int64_t>(size_of(scales));
  };
  if (const auto* blocks = std::get_if<BlockCodes>(&codes)) {
    const QuantizedBlocks& parts = blocks->parts;
    return bytes_of(parts.codes) + scaled(parts.scales) + bytes_of(parts.zero_points);
  }
  if (const auto* bnb4 = std::get_if<Bnb4Codes>(&codes))
    return bytes_of(bnb4->parts.codes) + scaled(bnb4->parts.absmax);
  const QuantizedTensor& parts = std::get<TensorCodes>(codes).parts;
  return bytes_of(parts.codes) + bytes_of(parts.scale) + bytes_of(parts.zero_point);
}

}  // namespace onnxport
