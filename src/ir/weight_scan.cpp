#include "ir/weight_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "ir/weight_boxes.h"
#include "support/fail.h"

namespace onnxport::detail {

NamedValues NamedValues::of(const Weight& weight) {
  return {WeightExpr::of(weight.cast(DType::f32)).source, weight.numel(), weight.name()};
}

Weight make_part(const Weight& weight, SourcePtr source, Dims shape, std::string_view suffix) {
  std::string name = weight.name().empty() ? std::string() : fmt::format("{}_{}", weight.name(), suffix);
  return WeightExpr::wrap({.source = std::move(source), .shape = std::move(shape), .name = std::move(name)});
}

void NamedValues::read(std::int64_t begin, std::int64_t n, float* out) const {
  source->read(begin, n, reinterpret_cast<std::byte*>(out));
  if (count_non_finite(out, n) == 0) return;
  const std::int64_t step = tile_elements(sizeof(float), count);
  std::vector<float> tile(static_cast<std::size_t>(step));
  std::int64_t found = 0;
  for (std::int64_t done = 0; done < count; done += step) {
    const std::int64_t here = std::min(step, count - done);
    source->read(done, here, reinterpret_cast<std::byte*>(tile.data()));
    found += count_non_finite(tile.data(), here);
  }
  fail(ErrorCode::bad_checkpoint, "tensor '{}': {} of {} values are NaN or infinite and cannot be quantized",
       name, found, count);
}

struct BlockScan::Tile {
  std::weak_ptr<const BlockScan> owner;
  std::int64_t first = 0, end = 0;  ///< blocks
  std::vector<std::uint8_t> codes, zero_points;
  std::vector<float> scales;
};

/// The last tiles of a thread.
struct BlockScan::Memo {
  std::array<Tile, 20> tiles;
  std::size_t oldest = 0;

  const Tile* find(const BlockScan& owner, std::int64_t block) const {
    for (const Tile& tile : tiles) {
      if (tile.first <= block && block < tile.end && tile.owner.lock().get() == &owner) return &tile;
    }
    return nullptr;
  }

  /// Takes the place of the oldest tile.
  const Tile& keep(Tile tile) {
    Tile& place = tiles.at(oldest);
    oldest = (oldest + 1) % tiles.size();
    place = std::move(tile);
    return place;
  }
};

BlockScan::BlockScan(NamedValues values, const BlockLayout& layout, Kernel kernel)
    : values_(std::move(values)), layout_(layout), kernel_(std::move(kernel)) {
  constexpr std::int64_t kValues = kTileBytes / static_cast<std::int64_t>(sizeof(float));
  per_tile_ = std::max<std::int64_t>(kValues / layout_.block_size, 1);
}

std::vector<Origin> BlockScan::origins(std::int64_t per_block, std::int64_t begin, std::int64_t count) const {
  if (layout_.even()) return origins_by_unit(values(), layout_.block_size, per_block, begin, count);
  return origins_by_unit(values(), layout_.columns, layout_.across() * per_block, begin, count);
}

void BlockScan::read_codes(std::int64_t begin, std::int64_t count, std::byte* out) const {
  if (count <= 0) return;
  const std::int64_t bytes = layout_.block_bytes;
  const std::int64_t first = begin / bytes, last = (begin + count - 1) / bytes;
  for_each_tile(first, last - first + 1, [&](const Tile& tile, std::int64_t block, std::int64_t blocks) {
    const std::int64_t start = tile.first * bytes;
    const std::int64_t from = std::max(begin, block * bytes);
    const std::int64_t end = std::min(begin + count, (block + blocks) * bytes);
    std::memcpy(out + (from - begin), tile.codes.data() + (from - start),
                static_cast<std::size_t>(end - from));
  });
}

void BlockScan::read_scales(std::int64_t begin, std::int64_t count, std::byte* out) const {
  for_each_tile(begin, count, [&](const Tile& tile, std::int64_t block, std::int64_t blocks) {
    const auto bytes = static_cast<std::size_t>(blocks) * sizeof(float);
    std::memcpy(out, tile.scales.data() + (block - tile.first), bytes);
    out += bytes;
  });
}

void BlockScan::read_zero_points(std::int64_t begin, std::int64_t count, std::uint8_t* out) const {
  for_each_tile(begin, count, [&](const Tile& tile, std::int64_t block, std::int64_t blocks) {
    out = std::copy_n(tile.zero_points.data() + (block - tile.first), blocks, out);
  });
}

void BlockScan::for_each_tile(std::int64_t begin, std::int64_t count,
                              const std::function<void(const Tile&, std::int64_t, std::int64_t)>& fn) const {
  thread_local Memo memo;
  while (count > 0) {
    const Tile* tile = memo.find(*this, begin);
    if (tile == nullptr) {
      // The values may be computed by other scans, so the memo is not touched until this tile is complete.
      Tile next;
      next.owner = weak_from_this();
      next.first = begin;
      next.end = begin + std::min(count, per_tile_);
      compute(next);
      tile = &memo.keep(std::move(next));
    }
    const std::int64_t blocks = std::min(count, tile->end - begin);
    fn(*tile, begin, blocks);
    begin += blocks;
    count -= blocks;
  }
}

void BlockScan::compute(Tile& tile) const {
  const std::int64_t first = tile.first, end = tile.end;
  const auto blocks = static_cast<std::size_t>(end - first);
  tile.codes.resize(blocks * static_cast<std::size_t>(layout_.block_bytes));
  tile.scales.resize(blocks);
  if (layout_.has_zero_points) tile.zero_points.resize(blocks);

  const std::int64_t begin = layout_.first_value(first), count = layout_.first_value(end) - begin;
  const auto values = make_buffer(count * static_cast<std::int64_t>(sizeof(float)));
  const auto* at = reinterpret_cast<const float*>(values.get());
  values_.read(begin, count, reinterpret_cast<float*>(values.get()));
  BlockResults to{tile.codes.data(), tile.scales.data(), tile.zero_points.data()};
  // Whole rows without a shorter block at their end are one run.
  const bool even = layout_.even();
  for (std::int64_t block = first; block < end;) {
    const std::int64_t last = even ? end : std::min(end, (block / layout_.across() + 1) * layout_.across());
    const std::int64_t run = layout_.first_value(last) - layout_.first_value(block);
    kernel_(at, run, to);
    at += run;
    to.codes += (last - block) * layout_.block_bytes;
    to.scales += last - block;
    if (layout_.has_zero_points) to.zero_points += last - block;
    block = last;
  }
  for (const float scale : tile.scales) {
    if (!std::isfinite(scale)) {
      fail(ErrorCode::bad_checkpoint,
           "tensor '{}': the values of a block are too far apart for a scale of float32, and cannot be "
           "quantized",
           values_.name);
    }
  }
}

}  // namespace onnxport::detail
