/// Sub-arrays of row-major arrays, and buffers for them: the tools of evaluation steps that depend on a
/// shape.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>

#include "ir/weight_expr.h"

namespace onnxport::detail {

inline std::unique_ptr<std::byte[]> make_buffer(std::int64_t bytes) {
  return std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(bytes));
}

/// Number of elements of a tile, but no more than are needed.
inline std::int64_t tile_elements(std::int64_t element_size, std::int64_t needed) {
  return std::clamp<std::int64_t>(needed, 1, kTileBytes / element_size);
}

inline Dims row_major_strides(const Dims& shape) {
  Dims strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t axis = shape.size(); axis-- > 0; stride *= shape[axis]) strides[axis] = stride;
  return strides;
}

inline std::int64_t dot(const Dims& a, const Dims& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), std::int64_t{0});
}

inline Dims unravel(const Dims& shape, std::int64_t position) {
  Dims index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0; position /= shape[axis]) {
    index[axis] = position % shape[axis];
  }
  return index;
}

/// Calls fn(index) for every index of a box of these extents, in row-major order.
template <class Fn>
void for_each_index(const Dims& extents, Fn&& fn) {
  Dims index(extents.size(), 0);
  while (true) {
    fn(index);
    std::size_t axis = extents.size();
    while (axis > 0 && ++index[axis - 1] == extents[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

/// Splits the elements [begin, begin + count), in row-major order, into at most 2 * rank - 1 boxes, and calls
/// fn(begin, extents) for each, in this order.
template <class Fn>
void for_each_box(const Dims& shape, std::int64_t begin, std::int64_t count, Fn&& fn) {
  while (count > 0) {
    const Dims index = unravel(shape, begin);
    // The outermost axis along which whole slabs can be taken from here.
    std::size_t axis = shape.size() - 1;
    std::int64_t slab = 1;
    while (axis > 0 && index[axis] == 0 && shape[axis] * slab <= count) slab *= shape[axis--];
    Dims extents = shape;
    std::fill_n(extents.begin(), axis, 1);
    extents[axis] = std::min(shape[axis] - index[axis], count / slab);
    fn(index, extents);
    begin += extents[axis] * slab;
    count -= extents[axis] * slab;
  }
}

/// Reads `runs` runs of `run` elements, `stride` elements apart, and packs them.
inline void read_runs(const Source& source, std::int64_t first, std::int64_t run, std::int64_t stride,
                      std::int64_t runs, std::byte* out) {
  constexpr std::int64_t kSmallGap = 1024;  // bytes: to read these and drop them costs less than another call
  const std::int64_t size = source.element_size();
  if (runs == 1 || (stride - run) * size > kSmallGap || run * size > kTileBytes / 4) {
    for (std::int64_t i = 0; i < runs; ++i) source.read(first + i * stride, run, out + i * run * size);
    return;
  }
  const std::int64_t room = tile_elements(size, (runs - 1) * stride + run);
  const std::int64_t runs_per_tile = (room - run) / stride + 1;
  const auto tile = make_buffer(room * size);
  for (std::int64_t i = 0; i < runs; i += runs_per_tile) {
    const std::int64_t n = std::min(runs_per_tile, runs - i);
    source.read(first + i * stride, (n - 1) * stride + run, tile.get());
    for (std::int64_t j = 0; j < n; ++j, out += run * size) {
      std::memcpy(out, tile.get() + j * stride * size, static_cast<std::size_t>(run * size));
    }
  }
}

/// Reads a box of `source`, seen in `shape`, densely.
inline void read_box(const Source& source, const Dims& shape, const Dims& begin, const Dims& extents,
                     std::byte* out) {
  const Dims strides = row_major_strides(shape);
  // The trailing axes that are read completely, and the first one that is not, form a run of adjacent
  // elements.
  std::size_t axis = shape.size();
  std::int64_t run = 1;
  while (axis > 0) {
    run *= extents[--axis];
    if (extents[axis] != shape[axis]) break;
  }
  while (axis > 0 && extents[axis - 1] == 1) --axis;
  const std::int64_t runs = axis > 0 ? extents[axis - 1] : 1;
  const std::int64_t stride = axis > 0 ? strides[axis - 1] : run;
  Dims outer = extents;
  std::fill(outer.begin() + (axis > 0 ? static_cast<std::ptrdiff_t>(axis) - 1 : 0), outer.end(), 1);
  for_each_index(outer, [&](const Dims& index) {
    read_runs(source, dot(begin, strides) + dot(index, strides), run, stride, runs, out);
    out += runs * run * source.element_size();
  });
}

}  // namespace onnxport::detail
