/// Quantization of a weight in one scan of its values, tile by tile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/weight_block_layout.h"
#include "ir/weight_expr.h"
#include "support/quantize_blocks.h"

namespace onnxport::detail {

/// The values of a weight that is quantized, for messages.
struct NamedValues {
  SourcePtr source;  ///< float32
  std::int64_t count;
  std::string name;

  static NamedValues of(const Weight& weight);
  /// Writes values [begin, begin + n). Throws ExportError(bad_checkpoint) if one of them is not finite;
  /// the message is the same for all ranges.
  void read(std::int64_t begin, std::int64_t n, float* out) const;
};

/// A part of the quantized form of `weight` (codes, scales, …), named <name of the weight>_<suffix>.
Weight make_part(const Weight& weight, SourcePtr source, Dims shape, std::string_view suffix);

/// The codes, scales and zero points of all blocks of a weight.
///
/// The blocks of a request are computed in tiles of at most kTileBytes of values. Each thread keeps its last
/// 20 tiles, at most 1.7 MB, so codes, scales and zero points of the same blocks cost one scan if the thread
/// reads them one after the other, up to 1.2 million values of all weights together. Thread-safe.
class BlockScan : public std::enable_shared_from_this<BlockScan> {
 public:
  /// Quantizes a run of values of one row. It starts with a block, and is a part of the row only if it ends
  /// with a whole one.
  using Kernel = std::function<void(const float* values, std::int64_t count, BlockResults)>;

  BlockScan(NamedValues values, const BlockLayout& layout, Kernel kernel);

  const BlockLayout& layout() const { return layout_; }
  const Source& values() const { return *values_.source; }
  /// The origins of elements of a step that has `per_block` of them for each block.
  std::vector<Origin> origins(std::int64_t per_block, std::int64_t begin, std::int64_t count) const;

  /// Bytes [begin, begin + count) of the codes of all blocks.
  void read_codes(std::int64_t begin, std::int64_t count, std::byte* out) const;
  /// The scales of blocks [begin, begin + count), as float32.
  void read_scales(std::int64_t begin, std::int64_t count, std::byte* out) const;
  /// Their zero points, in bytes of their own.
  void read_zero_points(std::int64_t begin, std::int64_t count, std::uint8_t* out) const;

 private:
  struct Tile;
  struct Memo;
  /// Calls fn(tile, first, count) for the parts of blocks [begin, begin + count) that are in one tile.
  void for_each_tile(std::int64_t begin, std::int64_t count,
                     const std::function<void(const Tile&, std::int64_t, std::int64_t)>& fn) const;
  void compute(Tile& tile) const;

  NamedValues values_;
  BlockLayout layout_;
  Kernel kernel_;
  std::int64_t per_tile_;  ///< blocks of the largest tile
};

}  // namespace onnxport::detail
