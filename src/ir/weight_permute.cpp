// Permutations of axes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <numeric>
#include <utility>

#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "ir/weight_remaining.h"

namespace onnxport::detail {
namespace {

// Square blocks of 16-byte vectors are transposed in registers. Compilers turn the shuffles into single
// instructions.
template <class T>
struct Block {
  static constexpr std::int64_t kSide = 16 / sizeof(T);
  typedef T Vector __attribute__((vector_size(16)));  // NOLINT: gcc drops the attribute of an alias

  /// Alternating elements of the lower (0) or upper (1) halves of `a` and `b`.
  template <int kHalf, std::size_t... kIndex>
  static Vector interleave(Vector a, Vector b, std::index_sequence<kIndex...>) {
    constexpr int kN = sizeof...(kIndex);
    return __builtin_shufflevector(
        a, b, (kHalf * (kN / 2) + static_cast<int>(kIndex / 2) + (kIndex % 2 == 0 ? 0 : kN))...);
  }

  /// Strides in bytes.
  static void transpose(const std::byte* in, std::int64_t in_stride, std::byte* out,
                        std::int64_t out_stride) {
    constexpr std::make_index_sequence<kSide> kIndices;
    Vector rows[kSide], next[kSide];  // NOLINT: std::array drops it too
    for (std::int64_t i = 0; i < kSide; ++i) std::memcpy(&rows[i], in + i * in_stride, 16);
    // Interleaving the two halves of the rows rotates the bits of every element's (row, column) by one. After
    // as many rounds as a row number has bits, row and column are swapped.
    for (std::int64_t round = 1; round < kSide; round *= 2) {
      for (std::int64_t i = 0; i < kSide / 2; ++i) {
        next[2 * i] = interleave<0>(rows[i], rows[i + kSide / 2], kIndices);
        next[2 * i + 1] = interleave<1>(rows[i], rows[i + kSide / 2], kIndices);
      }
      std::copy_n(next, kSide, rows);
    }
    for (std::int64_t i = 0; i < kSide; ++i) std::memcpy(out + i * out_stride, &rows[i], 16);
  }
};

/// out[j * out_stride + i] = in[i * in_stride + j] for i < rows, j < columns.
template <class T>
void transpose_as(const std::byte* in, std::int64_t in_stride, std::int64_t rows, std::int64_t columns,
                  std::byte* out, std::int64_t out_stride) {
  constexpr std::int64_t kSize = sizeof(T), kSide = Block<T>::kSide;
  const auto plainly = [&](std::int64_t i0, std::int64_t i1, std::int64_t j0, std::int64_t j1) {
    for (std::int64_t j = j0; j < j1; ++j) {
      for (std::int64_t i = i0; i < i1; ++i) {
        std::memcpy(out + (j * out_stride + i) * kSize, in + (i * in_stride + j) * kSize, kSize);
      }
    }
  };
  const std::int64_t whole_rows = rows / kSide * kSide, whole_columns = columns / kSide * kSide;
  for (std::int64_t j = 0; j < whole_columns; j += kSide) {
    for (std::int64_t i = 0; i < whole_rows; i += kSide) {
      Block<T>::transpose(in + (i * in_stride + j) * kSize, in_stride * kSize,
                          out + (j * out_stride + i) * kSize, out_stride * kSize);
    }
    plainly(whole_rows, rows, j, j + kSide);
  }
  plainly(0, rows, whole_columns, columns);
}

void transpose(std::int64_t element_size, const std::byte* in, std::int64_t in_stride, std::int64_t rows,
               std::int64_t columns, std::byte* out, std::int64_t out_stride) {
  switch (element_size) {
    case 1:
      return transpose_as<std::uint8_t>(in, in_stride, rows, columns, out, out_stride);
    case 2:
      return transpose_as<std::uint16_t>(in, in_stride, rows, columns, out, out_stride);
    case 4:
      return transpose_as<std::uint32_t>(in, in_stride, rows, columns, out, out_stride);
    default:
      return transpose_as<std::uint64_t>(in, in_stride, rows, columns, out, out_stride);
  }
}

/// Permutes axes. `shape` has no axes of extent 1, and no neighbours that stay neighbours.
///
/// A short range of the output is scattered over the whole input, a few bytes at a time. So if the last axis
/// moves, the output is computed in panels of kPanelBytes (or kPieceBytes per row of the input if that is
/// more, up to kLargestPanel), which are kept until all their elements were read. Neighbouring ranges then
/// come from memory, and the input is read once per panel in pieces of a useful size. Ranges of at least the
/// size of a panel are computed in place.
class PermuteSource final : public Source {
 public:
  PermuteSource(SourcePtr input, Dims shape, Dims axes)
      : Source(
            input->dtype(),
            fmt::format("permute([{}],[{}],{})", fmt::join(shape, ","), fmt::join(axes, ","), input->text()),
            input->depth() + 1),
        input_(std::move(input)),
        in_shape_(std::move(shape)),
        axes_(std::move(axes)) {
    for (std::int64_t axis : axes_) out_shape_.push_back(in_shape_[static_cast<std::size_t>(axis)]);
    last_ = in_shape_.size() - 1;
    source_of_last_ = static_cast<std::size_t>(axes_.back());
    panel_elements_ = choose_panel();
  }

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    constexpr std::int64_t kLongRun = 4096;  // bytes: rows that stay together and are this long need no panel
    const bool long_runs = source_of_last_ == last_ && in_shape_[last_] * element_size() >= kLongRun;
    if (long_runs || count >= panel_elements_) return compute(begin, count, out);
    while (count > 0) {
      const std::int64_t index = begin / panel_elements_;
      const std::int64_t inside = begin % panel_elements_;
      const std::int64_t n = std::min(count, panel_elements_ - inside);
      const auto panel = take_panel(index, inside, n);
      if (!panel) {
        compute(begin, n, out);
      } else {
        std::memcpy(out, panel.get() + inside * element_size(), static_cast<std::size_t>(n * element_size()));
      }
      begin += n;
      count -= n;
      out += n * element_size();
    }
  }

 private:
  static constexpr std::int64_t kPanelBytes = 32 << 20;
  static constexpr std::int64_t kLargestPanel = 128 << 20;
  static constexpr std::int64_t kPieceBytes = 1024;

  struct Panel {
    std::int64_t index;
    Remaining left;  ///< elements not handed out yet
    std::shared_ptr<const std::byte[]> bytes;
  };

  std::int64_t numel() const {
    return std::accumulate(in_shape_.begin(), in_shape_.end(), std::int64_t{1}, std::multiplies<>());
  }

  std::int64_t choose_panel() const {
    const std::int64_t target = kPanelBytes / element_size();
    if (numel() <= target) return numel();
    const Dims strides = row_major_strides(out_shape_);
    for (std::size_t axis = 0; axis < out_shape_.size(); ++axis) {
      const std::int64_t slab = strides[axis];
      if (slab > target && axis != last_) continue;
      std::int64_t slabs = std::max<std::int64_t>(1, target / slab);
      if (static_cast<std::size_t>(axes_[axis]) == last_) {
        const std::int64_t wanted = std::max(slabs, kPieceBytes / element_size());
        slabs = std::clamp<std::int64_t>(
            wanted, 1, std::max<std::int64_t>(slabs, kLargestPanel / element_size() / slab));
      }
      return slabs * slab;
    }
    return target;
  }

  /// The panel, from which the caller takes `n` elements. Null if there is none and these are too few for
  /// one.
  std::shared_ptr<const std::byte[]> take_panel(std::int64_t index, std::int64_t inside,
                                                std::int64_t n) const {
    constexpr std::int64_t kFew = 64;
    const std::lock_guard lock(mutex_);  // held while computing: others mostly want the same panel
    auto panel =
        std::find_if(panels_.begin(), panels_.end(), [&](const Panel& p) { return p.index == index; });
    if (panel == panels_.end()) {
      if (n < kFew) return nullptr;
      const std::int64_t first = index * panel_elements_;
      const std::int64_t size = std::min(panel_elements_, numel() - first);
      // The previous panel stays for a slower thread.
      if (panels_.size() == 2) {
        panels_.erase(std::min_element(panels_.begin(), panels_.end(),
                                       [](const Panel& a, const Panel& b) { return a.index < b.index; }));
      }
      std::shared_ptr<std::byte[]> bytes = make_buffer(size * element_size());
      compute(first, size, bytes.get());
      panel = panels_.insert(panels_.end(), {index, Remaining(size), std::move(bytes)});
    }
    auto bytes = panel->bytes;
    panel->left.take(inside, inside + n);
    if (panel->left.count() == 0) panels_.erase(panel);
    return bytes;
  }

  void compute(std::int64_t begin, std::int64_t count, std::byte* out) const {
    const std::int64_t tile_room = tile_elements(element_size(), count);
    const auto tile = make_buffer(tile_room * element_size());
    const std::size_t rank = in_shape_.size();
    for_each_box(out_shape_, begin, count, [&](const Dims& out_begin, const Dims& out_extents) {
      Dims in_begin(rank), extents(rank), out_strides(rank);
      const Dims strides = row_major_strides(out_extents);  // a box of the output is dense
      for (std::size_t i = 0; i < rank; ++i) {
        const auto axis = static_cast<std::size_t>(axes_[i]);
        in_begin[axis] = out_begin[i];
        extents[axis] = out_extents[i];
        out_strides[axis] = strides[i];
      }
      permute_box(in_begin, extents, out_strides, tile.get(), tile_room, out);
      out += out_extents[0] * strides[0] * element_size();
    });
  }

  void permute_box(const Dims& begin, const Dims& extents, const Dims& out_strides, std::byte* tile,
                   std::int64_t room, std::byte* out) const {
    // Tiles are filled from the last axis outwards, in the order of the input, after reserving room for the
    // axis that becomes the last one, because transposing needs rows.
    constexpr std::int64_t kRows = 32;
    const std::int64_t rows =
        source_of_last_ == last_ ? 1 : std::min({kRows, extents[source_of_last_], room});
    room /= rows;
    Dims tile_extents(extents.size());
    for (std::size_t axis = extents.size(); axis-- > 0;) {
      const std::int64_t reserved = axis == source_of_last_ ? rows : 1;
      tile_extents[axis] = std::min(extents[axis], reserved * room);
      room = std::max<std::int64_t>(1, room * reserved / tile_extents[axis]);
    }
    Dims tiles(extents.size());
    for (std::size_t axis = 0; axis < tiles.size(); ++axis) {
      tiles[axis] = (extents[axis] + tile_extents[axis] - 1) / tile_extents[axis];
    }
    Dims tile_begin(extents.size()), part(extents.size());
    for_each_index(tiles, [&](const Dims& index) {
      std::int64_t out_offset = 0;
      for (std::size_t axis = 0; axis < index.size(); ++axis) {
        const std::int64_t first = index[axis] * tile_extents[axis];
        tile_begin[axis] = begin[axis] + first;
        part[axis] = std::min(tile_extents[axis], extents[axis] - first);
        out_offset += first * out_strides[axis];
      }
      read_box(*input_, in_shape_, tile_begin, part, tile);
      scatter(tile, part, out + out_offset * element_size(), out_strides);
    });
  }

  void scatter(const std::byte* tile, const Dims& extents, std::byte* out, const Dims& out_strides) const {
    const Dims strides = row_major_strides(extents);
    Dims outer = extents;
    outer[last_] = outer[source_of_last_] = 1;
    const std::int64_t size = element_size();
    for_each_index(outer, [&](const Dims& index) {
      const std::byte* from = tile + dot(index, strides) * size;
      std::byte* to = out + dot(index, out_strides) * size;
      if (source_of_last_ == last_) {
        std::memcpy(to, from, static_cast<std::size_t>(extents[last_] * size));
      } else {
        transpose(size, from, strides[source_of_last_], extents[source_of_last_], extents[last_], to,
                  out_strides[last_]);
      }
    });
  }

  SourcePtr input_;
  Dims in_shape_, axes_, out_shape_;
  std::size_t last_;            ///< the last axis of the input
  std::size_t source_of_last_;  ///< the axis of the input that becomes the last one
  std::int64_t panel_elements_;
  mutable std::mutex mutex_;
  mutable std::vector<Panel> panels_;  ///< at most two
};

}  // namespace

SourcePtr make_permute(SourcePtr input, const Dims& shape, const Dims& axes) {
  // Groups of axes that stay together, in the order of the output. Each is identified by its first axis.
  Dims first, extent(shape.size(), 1);
  std::int64_t before = -2;  // the axis of the input that was last put into a group
  for (std::int64_t axis : axes) {
    if (shape[static_cast<std::size_t>(axis)] == 1) continue;
    // Axes of extent 1 in between do not separate.
    std::int64_t previous = axis - 1;
    while (previous >= 0 && shape[static_cast<std::size_t>(previous)] == 1) --previous;
    if (previous != before) first.push_back(axis);
    extent[static_cast<std::size_t>(first.back())] *= shape[static_cast<std::size_t>(axis)];
    before = axis;
  }
  if (first.size() <= 1) return nullptr;
  Dims sorted = first;
  std::sort(sorted.begin(), sorted.end());
  Dims in_shape, new_axes;
  for (std::int64_t axis : sorted) in_shape.push_back(extent[static_cast<std::size_t>(axis)]);
  for (std::int64_t axis : first) {
    new_axes.push_back(std::lower_bound(sorted.begin(), sorted.end(), axis) - sorted.begin());
  }
  return std::make_shared<PermuteSource>(std::move(input), std::move(in_shape), std::move(new_axes));
}

}  // namespace onnxport::detail
