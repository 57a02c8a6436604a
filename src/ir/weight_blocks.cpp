#include "ir/weight_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ir/weight_boxes.h"
#include "support/fail.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport::detail {
namespace {

class BlocksSource final : public Source {
 public:
  BlocksSource(SourcePtr bytes, const BlockFormat& format)
      : Source(format.dtype, fmt::format("{}({})", format.name, bytes->text()), bytes->depth() + 1),
        bytes_(std::move(bytes)),
        format_(format) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (count <= 0) return;
    const std::int64_t last = (begin + count - 1) / format_.elements;
    const std::int64_t per_tile =
        std::clamp<std::int64_t>(last + 1 - begin / format_.elements, 1, kTileBytes / format_.bytes);
    const auto tile = make_buffer(per_tile * format_.bytes);
    for (std::int64_t block = begin / format_.elements; block <= last; block += per_tile) {
      const std::int64_t blocks = std::min(per_tile, last + 1 - block);
      bytes_->read(block * format_.bytes, blocks * format_.bytes, tile.get());
      const std::int64_t first = std::max(begin, block * format_.elements);
      const std::int64_t end = std::min(begin + count, (block + blocks) * format_.elements);
      decode(tile.get(), block, first, end, out + (first - begin) * element_size());
    }
  }

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return origins_by_unit(*bytes_, format_.bytes, format_.elements, begin, count);
  }

 private:
  /// Elements [first, end) from `blocks`, which start with block `number`.
  void decode(const std::byte* blocks, std::int64_t number, std::int64_t first, std::int64_t end,
              std::byte* out) const {
    const std::int64_t width = format_.elements;
    while (first < end) {
      const std::int64_t block = first / width, inside = first % width;
      const std::byte* from = blocks + (block - number) * format_.bytes;
      std::int64_t n = (end - first) / width * width;
      if (inside == 0 && n > 0) {
        format_.decode(from, n / width, out);
      } else {
        n = std::min(width - inside, end - first);
        const auto whole = make_buffer(width * element_size());
        format_.decode(from, 1, whole.get());
        std::memcpy(out, whole.get() + inside * element_size(), static_cast<std::size_t>(n * element_size()));
      }
      first += n;
      out += n * element_size();
    }
  }

  SourcePtr bytes_;
  const BlockFormat& format_;
};

}  // namespace

SourcePtr make_blocks(SourcePtr bytes, const BlockFormat& format) {
  return std::make_shared<BlocksSource>(std::move(bytes), format);
}

Weight decode_blocks(const TensorView& bytes, const BlockFormat& format, Dims shape) {
  const auto count = element_count(shape);
  if (!count || *count % format.elements != 0 || *count / format.elements * format.bytes != bytes.numel()) {
    fail(ErrorCode::shape, "a tensor of shape {} does not consist of {} bytes of {}", text::shape_text(shape),
         bytes.numel(), format.name);
  }
  return WeightExpr::wrap({.source = make_blocks(make_view(bytes), format), .shape = std::move(shape)});
}

}  // namespace onnxport::detail
