#include "serialize/tiles.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "ir/weight_steps.h"
#include "onnxport/dtype.h"
#include "support/convert.h"

namespace onnxport::serialize {
namespace {

/// Bytes that one worker copies at a time.
constexpr std::uint64_t copy_bytes = std::uint64_t{16} << 20;

/// The bits of infinity in a dtype of half precision.
std::uint16_t infinity_bits(DType dtype) { return dtype == DType::f16 ? 0x7C00 : 0x7F80; }

}  // namespace

std::int64_t count_overflows(const Weight& weight, std::int64_t begin, std::int64_t count,
                             const std::byte* values) {
  if ((weight.dtype() != DType::f16 && weight.dtype() != DType::bf16) || weight.is_constant()) return 0;
  const std::uint16_t infinity = infinity_bits(weight.dtype());
  const auto is_infinite = [&](std::int64_t i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, values + i * sizeof(bits), sizeof(bits));
    return (bits & 0x7FFF) == infinity;
  };
  std::int64_t infinite = 0;
  for (std::int64_t i = 0; i < count; ++i) infinite += is_infinite(i) ? 1 : 0;
  const Weight before = infinite == 0 ? Weight() : cast_of(weight);
  if (!before || !is_float(before.dtype())) return infinite;

  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * size_of(before.dtype()));
  before.read(begin, count, bytes.data());
  std::vector<double> exact(static_cast<std::size_t>(count));
  convert(before.dtype(), bytes.data(), DType::f64, reinterpret_cast<std::byte*>(exact.data()), exact.size());
  for (std::int64_t i = 0; i < count; ++i) {
    if (is_infinite(i) && std::isinf(exact[static_cast<std::size_t>(i)])) --infinite;
  }
  return infinite;
}

std::int64_t count_overflows(const Weight& weight) {
  if (size_of(weight.dtype()) != 2 || weight.view() != nullptr) return 0;
  std::vector<std::byte> values(static_cast<std::size_t>(weight.numel()) * size_of(weight.dtype()));
  weight.read(0, weight.numel(), values.data());
  return count_overflows(weight, 0, weight.numel(), values.data());
}

std::int64_t Tile::write() const {
  const std::size_t element = size_of(weight->dtype());
  if (const TensorView* view = weight->view()) {
    file->copy_from(*view->file, view->offset + begin * element, offset, count * element);
    return 0;
  }
  thread_local std::vector<std::byte> buffer;
  buffer.resize(tile_bytes);
  weight->read(begin, count, buffer.data());
  file->write_at(offset, std::span(buffer).first(count * element));
  return count_overflows(*weight, begin, count, buffer.data());
}

void start(AtomicFile& file, const Layout& layout, std::vector<Tile>& tiles) {
  file.reserve(layout.size());
  for (const Layout::Text& text : layout.texts())
    file.write_at(text.offset, std::as_bytes(std::span(text.bytes)));
  for (const auto& [offset, weight] : layout.payloads()) {
    const auto element = static_cast<std::int64_t>(size_of(weight.dtype()));
    const std::int64_t step = (weight.view() != nullptr ? copy_bytes : tile_bytes) / element;
    for (std::int64_t begin = 0; begin < weight.numel(); begin += step) {
      tiles.push_back(
          {&file, offset + begin * element, &weight, begin, std::min(step, weight.numel() - begin)});
    }
  }
}

}  // namespace onnxport::serialize
