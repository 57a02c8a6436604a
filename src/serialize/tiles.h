/// Streaming of weights into a file, tile by tile.
#pragma once

#include <cstdint>
#include <vector>

#include "onnxport/weight.h"
#include "serialize/layout.h"
#include "support/atomic_file.h"

namespace onnxport::serialize {

/// Bytes that one worker computes at a time (they fit into the second-level cache).
inline constexpr std::uint64_t tile_bytes = std::uint64_t{1} << 18;

/// A part of a payload that one worker handles at a time.
struct Tile {
  AtomicFile* file;
  std::uint64_t offset;
  const Weight* weight;
  std::int64_t begin, count;  ///< elements

  /// Writes the part. Returns the number of elements that the half precision of the weight made infinite.
  std::int64_t write() const;
};

/// Writes the text of a file, and appends its payloads to `tiles`.
void start(AtomicFile& file, const Layout& layout, std::vector<Tile>& tiles);

/// Elements [begin, begin + count) of `weight`, given as `values`, that are infinite in half precision, but
/// not in the checkpoint. 0 for other dtypes and for constants, which mean what they are.
std::int64_t count_overflows(const Weight& weight, std::int64_t begin, std::int64_t count,
                             const std::byte* values);
/// The same for all elements of a small weight.
std::int64_t count_overflows(const Weight& weight);

}  // namespace onnxport::serialize
