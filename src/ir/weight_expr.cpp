#include "ir/weight_expr.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstring>
#include <limits>
#include <mutex>
#include <numeric>
#include <span>
#include <utility>

#include "support/convert.h"
#include "support/fail.h"
#include "support/file.h"
#include "support/hash.h"

namespace onnxport::detail {
namespace {

std::unique_ptr<std::byte[]> make_buffer(std::int64_t bytes) {
  return std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(bytes));
}

/// Elements of a tile, and no more than are needed.
std::int64_t tile_elements(std::int64_t element_size, std::int64_t needed) {
  return std::clamp<std::int64_t>(needed, 1, kTileBytes / element_size);
}

// ---------------------------------------------------------------------------------------------------------------------
// Boxes: sub-arrays of a row-major array

Dims row_major_strides(const Dims& shape) {
  Dims strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t axis = shape.size(); axis-- > 0; stride *= shape[axis]) strides[axis] = stride;
  return strides;
}

std::int64_t dot(const Dims& a, const Dims& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), std::int64_t{0});
}

Dims unravel(const Dims& shape, std::int64_t position) {
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

/// Calls fn(begin, extents) for boxes that make up the elements [begin, begin + count) of the row-major
/// order, in this order. At most 2 * rank - 1 of them.
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

/// Reads `runs` runs of `run` elements that lie `stride` elements apart, one behind the other.
void read_runs(const Source& source, std::int64_t first, std::int64_t run, std::int64_t stride,
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
void read_box(const Source& source, const Dims& shape, const Dims& begin, const Dims& extents,
              std::byte* out) {
  const Dims strides = row_major_strides(shape);
  // The trailing axes that are taken whole, and the first one that is not, make a run of adjacent elements.
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

// ---------------------------------------------------------------------------------------------------------------------
// Leaves

class ViewSource final : public Source {
 public:
  explicit ViewSource(const TensorView& view)
      : Source(view.dtype, text_of(view), 0), file_(view.file), offset_(view.offset) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (!file_) fail(ErrorCode::internal, "the bytes of {} were asked for, which has no file", text());
    file_->read(offset_ + static_cast<std::uint64_t>(begin * element_size()),
                static_cast<std::size_t>(count * element_size()), out);
  }

 private:
  static std::string text_of(const TensorView& view) {
    if (!view.file) return fmt::format("key({}){}@{}", view.key, short_name(view.dtype), view.offset);
    return fmt::format("file({}){}@{}", view.file->identity(), short_name(view.dtype), view.offset);
  }

  std::shared_ptr<const File> file_;
  std::uint64_t offset_;
};

class ConstantSource final : public Source {
 public:
  ConstantSource(DType dtype, std::shared_ptr<const std::vector<std::byte>> bytes)
      : Source(dtype, text_of(dtype, *bytes), 0), bytes_(std::move(bytes)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (count > 0) {
      std::memcpy(out, bytes_->data() + begin * element_size(),
                  static_cast<std::size_t>(count * element_size()));
    }
  }

 private:
  static std::string text_of(DType dtype, std::span<const std::byte> bytes) {
    if (bytes.size() > 32) return fmt::format("const({},#{})", short_name(dtype), hash128(bytes));
    std::string hex;
    for (std::byte byte : bytes) hex += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return fmt::format("const({},{})", short_name(dtype), hex);
  }

  std::shared_ptr<const std::vector<std::byte>> bytes_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Cast

class CastSource final : public Source {
 public:
  CastSource(SourcePtr input, DType dtype)
      : Source(dtype, fmt::format("cast({},{})", short_name(dtype), input->text()), input->depth() + 1),
        input_(std::move(input)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t step = tile_elements(input_->element_size(), count);
    const auto tile = make_buffer(step * input_->element_size());
    for (std::int64_t done = 0; done < count; done += step) {
      const std::int64_t n = std::min(step, count - done);
      input_->read(begin + done, n, tile.get());
      convert(input_->dtype(), tile.get(), dtype(), out + done * element_size(), static_cast<std::size_t>(n));
    }
  }

 private:
  SourcePtr input_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Permute

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
    // Interleaving the two halves of the rows rotates the bits of every element's (row, column) by one; after
    // as many rounds as a row number has bits, row and column have changed places.
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

/// Permutes axes; `shape` has no axes of extent 1, nor neighbours that stay neighbours.
///
/// A range of the output that is short compared to the input is spread over all of the input, a few bytes
/// here and a few there. So where the last axis moves, the output is computed in panels of kPanelBytes (or
/// kPieceBytes per row of the input where that is more, up to kLargestPanel) that are kept until all their
/// elements have been handed out. Neighbouring ranges then come out of memory, and the input is read once per
/// panel in pieces of a useful size. Ranges of the size of a panel and more are computed in place.
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
      const auto panel = take_panel(index, n);
      std::memcpy(out, panel.get() + inside * element_size(), static_cast<std::size_t>(n * element_size()));
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
    std::int64_t left;  ///< elements not handed out yet
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

  /// The panel, from which the caller takes `n` elements.
  std::shared_ptr<const std::byte[]> take_panel(std::int64_t index, std::int64_t n) const {
    const std::lock_guard lock(mutex_);  // held while computing: others mostly want the same panel
    auto panel =
        std::find_if(panels_.begin(), panels_.end(), [&](const Panel& p) { return p.index == index; });
    if (panel == panels_.end()) {
      const std::int64_t first = index * panel_elements_;
      const std::int64_t size = std::min(panel_elements_, numel() - first);
      // The one before stays for a thread that is late.
      if (panels_.size() == 2) {
        panels_.erase(std::min_element(panels_.begin(), panels_.end(),
                                       [](const Panel& a, const Panel& b) { return a.index < b.index; }));
      }
      std::shared_ptr<std::byte[]> bytes = make_buffer(size * element_size());
      compute(first, size, bytes.get());
      panel = panels_.insert(panels_.end(), {index, size, std::move(bytes)});
    }
    auto bytes = panel->bytes;
    panel->left -= n;
    if (panel->left <= 0) panels_.erase(panel);
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
    // Tiles are filled from the last axis outwards, as the input lies, after setting some room aside for the
    // axis that becomes the last one: it takes rows to transpose.
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

// ---------------------------------------------------------------------------------------------------------------------
// Slice and concat

class ColumnsSource final : public Source {
 public:
  ColumnsSource(SourcePtr input, std::int64_t rows, std::int64_t width, std::int64_t first,
                std::int64_t length)
      : Source(input->dtype(),
               fmt::format("columns({}x{},{}+{},{})", rows, width, first, length, input->text()),
               input->depth() + 1),
        input_(std::move(input)),
        in_shape_{rows, width},
        out_shape_{rows, length},
        first_(first) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    for_each_box(out_shape_, begin, count, [&](Dims from, const Dims& extents) {
      from[1] += first_;
      read_box(*input_, in_shape_, from, extents, out);
      out += extents[0] * extents[1] * element_size();
    });
  }

 private:
  SourcePtr input_;
  Dims in_shape_, out_shape_;
  std::int64_t first_;
};

class ConcatSource final : public Source {
 public:
  ConcatSource(std::vector<ConcatPart> parts, std::int64_t rows)
      : Source(parts.front().source->dtype(), text_of(parts, rows), depth_of(parts)),
        parts_(std::move(parts)) {
    std::int64_t width = 0;
    for (const ConcatPart& part : parts_) {
      starts_.push_back(width);
      width += part.width;
    }
    shape_ = {rows, width};
  }

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    for_each_box(shape_, begin, count, [&](const Dims& from, const Dims& extents) {
      // Either some columns of one row, or all columns of some rows.
      const std::int64_t columns_end = from[1] + extents[1];
      for (std::size_t i = 0; i < parts_.size(); ++i) {
        const std::int64_t first = std::max(from[1], starts_[i]);
        const std::int64_t last = std::min(columns_end, starts_[i] + parts_[i].width);
        if (first >= last) continue;
        std::byte* to = out + (first - from[1]) * element_size();
        if (extents[0] == 1) {
          parts_[i].source->read(from[0] * parts_[i].width + first - starts_[i], last - first, to);
        } else {
          read_rows(parts_[i], from[0], extents[0], to);
        }
      }
      out += extents[0] * extents[1] * element_size();
    });
  }

 private:
  /// Whole rows of one part to their places in whole rows of the output.
  void read_rows(const ConcatPart& part, std::int64_t first, std::int64_t rows, std::byte* out) const {
    constexpr std::int64_t kLongRow = 16 * 1024;  // bytes: read in place
    const std::int64_t row_bytes = part.width * element_size();
    const std::int64_t out_row_bytes = shape_[1] * element_size();
    if (row_bytes >= kLongRow) {
      for (std::int64_t i = 0; i < rows; ++i) {
        part.source->read((first + i) * part.width, part.width, out + i * out_row_bytes);
      }
      return;
    }
    const std::int64_t step = std::min(rows, kTileBytes / row_bytes);
    const auto tile = make_buffer(step * row_bytes);
    for (std::int64_t done = 0; done < rows; done += step) {
      const std::int64_t n = std::min(step, rows - done);
      part.source->read((first + done) * part.width, n * part.width, tile.get());
      for (std::int64_t i = 0; i < n; ++i, out += out_row_bytes) {
        std::memcpy(out, tile.get() + i * row_bytes, static_cast<std::size_t>(row_bytes));
      }
    }
  }

  static std::string text_of(const std::vector<ConcatPart>& parts, std::int64_t rows) {
    std::string text = fmt::format("concat({}", rows);
    for (const ConcatPart& part : parts) text += fmt::format(",{}:{}", part.width, part.source->text());
    return text + ")";
  }

  static int depth_of(const std::vector<ConcatPart>& parts) {
    int depth = 0;
    for (const ConcatPart& part : parts) depth = std::max(depth, part.source->depth());
    return depth + 1;
  }

  std::vector<ConcatPart> parts_;
  Dims starts_;  ///< first column of each part
  Dims shape_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Arithmetic

/// One operand: strides over the axes of the output, 0 where it is broadcast.
struct Operand {
  SourcePtr source;
  Dims strides;
};

/// Reads the elements of an operand that belong to a range of the output, as Wide (double or int64).
template <class Wide>
class OperandReader {
 public:
  /// For the range [begin, begin + count) of the output.
  OperandReader(const Operand& operand, const Dims& shape, std::int64_t begin, std::int64_t count)
      : operand_(operand),
        shape_(shape),
        broadcast_(std::count(operand.strides.begin(), operand.strides.end(), 0) > 0) {
    for_each_box(shape, begin, count, [&](const Dims& index, Dims extents) {
      for (std::int64_t& extent : extents) --extent;
      const std::int64_t first = dot(index, operand.strides);
      first_ = std::min(first_, first);
      last_ = std::max(last_, first + dot(extents, operand.strides));
    });
  }

  /// A part of that range.
  void read(std::int64_t begin, std::int64_t count, Wide* out) {
    if (!broadcast_) return load(begin, count, out);
    const std::int64_t row = shape_.back();
    while (count > 0) {
      const Dims index = unravel(shape_, begin);
      const std::int64_t n = std::min(count, row - index.back());
      const std::int64_t first = dot(index, operand_.strides);
      if (operand_.strides.back() == 0) {
        std::fill_n(out, n, *window(first, 1));
      } else {
        std::copy_n(window(first, n), n, out);
      }
      begin += n;
      count -= n;
      out += n;
    }
  }

 private:
  static constexpr std::int64_t kWindow = kTileBytes / static_cast<std::int64_t>(sizeof(Wide));

  void load(std::int64_t begin, std::int64_t count, Wide* out) {
    const std::size_t bytes = static_cast<std::size_t>(count * operand_.source->element_size());
    if (raw_.size() < bytes) raw_.resize(bytes);
    operand_.source->read(begin, count, raw_.data());
    convert(operand_.source->dtype(), raw_.data(), std::same_as<Wide, double> ? DType::f64 : DType::i64,
            reinterpret_cast<std::byte*>(out), static_cast<std::size_t>(count));
  }

  /// `count` elements from `first` on. All elements that the range needs are loaded at once where they are
  /// few, else those around.
  const Wide* window(std::int64_t first, std::int64_t count) {
    if (first < window_begin_ || first + count > window_begin_ + static_cast<std::int64_t>(window_.size())) {
      window_begin_ = last_ - first_ < kWindow ? first_ : first;
      window_.resize(static_cast<std::size_t>(std::min(kWindow, last_ + 1 - window_begin_)));
      load(window_begin_, static_cast<std::int64_t>(window_.size()), window_.data());
    }
    return window_.data() + (first - window_begin_);
  }

  const Operand& operand_;
  const Dims& shape_;
  bool broadcast_;
  std::int64_t first_ = std::numeric_limits<std::int64_t>::max(),
               last_ = 0;  ///< of the elements that are needed
  std::vector<std::byte> raw_;
  std::vector<Wide> window_;
  std::int64_t window_begin_ = 0;
};

void apply(Arithmetic op, const double* a, const double* b, double* out, std::int64_t count) {
  switch (op) {
    case Arithmetic::add:
      std::transform(a, a + count, b, out, std::plus<>());
      break;
    case Arithmetic::sub:
      std::transform(a, a + count, b, out, std::minus<>());
      break;
    case Arithmetic::mul:
      std::transform(a, a + count, b, out, std::multiplies<>());
      break;
    case Arithmetic::div:
      std::transform(a, a + count, b, out, std::divides<>());
      break;
  }
}

std::int64_t divide(std::int64_t a, std::int64_t b, bool is_unsigned) {
  if (b == 0) fail(ErrorCode::invalid_argument, "division of an integer weight by zero");
  if (is_unsigned) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) / static_cast<std::uint64_t>(b));
  }
  return b == -1 ? static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(a)) : a / b;  // lowest / -1 traps
}

void apply(Arithmetic op, bool is_unsigned, const std::int64_t* a, const std::int64_t* b, std::int64_t* out,
           std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const auto x = static_cast<std::uint64_t>(a[i]), y = static_cast<std::uint64_t>(b[i]);
    switch (op) {
      case Arithmetic::add:
        out[i] = static_cast<std::int64_t>(x + y);
        break;
      case Arithmetic::sub:
        out[i] = static_cast<std::int64_t>(x - y);
        break;
      case Arithmetic::mul:
        out[i] = static_cast<std::int64_t>(x * y);
        break;
      case Arithmetic::div:
        out[i] = divide(a[i], b[i], is_unsigned);
        break;
    }
  }
}

class ArithmeticSource final : public Source {
 public:
  ArithmeticSource(Arithmetic op, Operand a, Operand b, Dims shape)
      : Source(a.source->dtype(), text_of(op, a, b, shape),
               std::max(a.source->depth(), b.source->depth()) + 1),
        op_(op),
        a_(std::move(a)),
        b_(std::move(b)),
        shape_(std::move(shape)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    if (is_float(dtype())) {
      read_as<double>(begin, count, out);
    } else {
      read_as<std::int64_t>(begin, count, out);
    }
  }

 private:
  template <class Wide>
  void read_as(std::int64_t begin, std::int64_t count, std::byte* out) const {
    constexpr std::int64_t kStep = 8192;  // elements: three arrays of 64 kB
    const auto step = static_cast<std::size_t>(std::min(kStep, count));
    std::vector<Wide> a(step), b(step), result(step);
    OperandReader<Wide> read_a(a_, shape_, begin, count), read_b(b_, shape_, begin, count);
    for (std::int64_t done = 0; done < count; done += kStep) {
      const std::int64_t n = std::min(kStep, count - done);
      read_a.read(begin + done, n, a.data());
      read_b.read(begin + done, n, b.data());
      if constexpr (std::same_as<Wide, double>) {
        apply(op_, a.data(), b.data(), result.data(), n);
      } else {
        apply(op_, dtype() == DType::u64, a.data(), b.data(), result.data(), n);
      }
      convert(std::same_as<Wide, double> ? DType::f64 : DType::i64,
              reinterpret_cast<const std::byte*>(result.data()), dtype(), out + done * element_size(),
              static_cast<std::size_t>(n));
    }
  }

  static std::string text_of(Arithmetic op, const Operand& a, const Operand& b, const Dims& shape) {
    return fmt::format("{}([{}],[{}]{},[{}]{})", to_string(op), fmt::join(shape, ","),
                       fmt::join(a.strides, ","), a.source->text(), fmt::join(b.strides, ","),
                       b.source->text());
  }

  Arithmetic op_;
  Operand a_, b_;
  Dims shape_;
};

/// Strides of an operand over the axes of `shape`, to which it is broadcast.
Dims broadcast_strides(const Dims& operand, const Dims& shape) {
  const Dims own = row_major_strides(operand);
  Dims strides(shape.size(), 0);
  const std::size_t shift = shape.size() - operand.size();
  for (std::size_t axis = 0; axis < operand.size(); ++axis) {
    if (operand[axis] != 1) strides[axis + shift] = own[axis];
  }
  return strides;
}

// ---------------------------------------------------------------------------------------------------------------------
// Norm

/// Few elements, each of which needs a part of the whole input: all are computed at once, and kept.
class NormSource final : public Source {
 public:
  NormSource(SourcePtr input, std::int64_t outer, std::int64_t extent, std::int64_t inner)
      : Source(input->dtype(), fmt::format("norm([{},{},{}],{})", outer, extent, inner, input->text()),
               input->depth() + 1),
        input_(std::move(input)),
        count_(outer * extent * inner),
        extent_(extent),
        inner_(inner) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    std::call_once(once_, [&] { compute(); });
    convert(DType::f64, reinterpret_cast<const std::byte*>(norms_.data() + begin), dtype(), out,
            static_cast<std::size_t>(count));
  }

 private:
  void compute() const {
    std::vector<double> squares(static_cast<std::size_t>(extent_), 0.0);
    const std::int64_t step = tile_elements(sizeof(double), count_);
    const auto tile = make_buffer(step * input_->element_size());
    std::vector<double> values(static_cast<std::size_t>(step));
    for (std::int64_t done = 0; done < count_; done += step) {
      const std::int64_t n = std::min(step, count_ - done);
      input_->read(done, n, tile.get());
      convert(input_->dtype(), tile.get(), DType::f64, reinterpret_cast<std::byte*>(values.data()),
              static_cast<std::size_t>(n));
      for (std::int64_t i = 0; i < n; ++i) {
        const double value = values[static_cast<std::size_t>(i)];
        squares[static_cast<std::size_t>((done + i) / inner_ % extent_)] += value * value;
      }
    }
    for (double& square : squares) square = std::sqrt(square);
    norms_ = std::move(squares);
  }

  SourcePtr input_;
  std::int64_t count_, extent_, inner_;
  mutable std::once_flag once_;
  mutable std::vector<double> norms_;
};

double apply(Function function, double x) {
  switch (function) {
    case Function::sqrt:
      return std::sqrt(x);
    case Function::exp:
      return std::exp(x);
    case Function::sin:
      return std::sin(x);
    case Function::cos:
      return std::cos(x);
  }
  return x;
}

class FunctionSource final : public Source {
 public:
  FunctionSource(Function function, SourcePtr input)
      : Source(input->dtype(), fmt::format("{}({})", to_string(function), input->text()), input->depth() + 1),
        function_(function),
        input_(std::move(input)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::int64_t step = tile_elements(sizeof(double), count);
    std::vector<double> values(static_cast<std::size_t>(step));
    auto* bytes = reinterpret_cast<std::byte*>(values.data());
    for (std::int64_t done = 0; done < count; done += step) {
      const std::int64_t n = std::min(step, count - done);
      std::byte* place = out + done * element_size();
      input_->read(begin + done, n, place);
      convert(dtype(), place, DType::f64, bytes, static_cast<std::size_t>(n));
      for (double& value : std::span(values).first(static_cast<std::size_t>(n)))
        value = apply(function_, value);
      convert(DType::f64, bytes, dtype(), place, static_cast<std::size_t>(n));
    }
  }

 private:
  Function function_;
  SourcePtr input_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Take

class TakeSource final : public Source {
 public:
  TakeSource(SourcePtr input, std::int64_t width, Dims indices)
      : Source(
            input->dtype(),
            fmt::format("take({},#{},{})", width, hash128(std::as_bytes(std::span(indices))), input->text()),
            input->depth() + 1),
        input_(std::move(input)),
        width_(width),
        indices_(std::move(indices)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    while (count > 0) {
      const std::int64_t row = begin / width_, column = begin % width_;
      std::int64_t n = std::min(width_ - column, count);
      const std::int64_t from = indices_[static_cast<std::size_t>(row)] * width_ + column;
      // Rows that follow each other are one read.
      for (auto next = static_cast<std::size_t>(row) + 1;
           n < count && indices_[next] == indices_[next - 1] + 1; ++next) {
        n = std::min(n + width_, count);
      }
      input_->read(from, n, out);
      out += n * element_size();
      begin += n;
      count -= n;
    }
  }

 private:
  SourcePtr input_;
  std::int64_t width_;
  Dims indices_;
};

}  // namespace

// ---------------------------------------------------------------------------------------------------------------------

Source::Source(DType dtype, std::string text, int depth)
    : dtype_(dtype), text_(std::move(text)), depth_(depth) {
  constexpr std::size_t kLongText = 200;  // expressions that share their parts would else grow without bound
  constexpr int kDeepest = 500;           // reading and destruction recurse
  if (text_.size() > kLongText) text_ = "#" + hash128(std::as_bytes(std::span(text_)));
  if (depth_ > kDeepest) fail(ErrorCode::internal, "a weight is made by more than {} transforms", kDeepest);
}

SourcePtr make_view(const TensorView& view) { return std::make_shared<ViewSource>(view); }

SourcePtr make_constant(DType dtype, std::shared_ptr<const std::vector<std::byte>> bytes) {
  return std::make_shared<ConstantSource>(dtype, std::move(bytes));
}

SourcePtr make_cast(SourcePtr input, DType dtype) {
  return std::make_shared<CastSource>(std::move(input), dtype);
}

SourcePtr make_permute(SourcePtr input, const Dims& shape, const Dims& axes) {
  // Groups of axes that travel together, in the order of the output; each is known by its first axis.
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

SourcePtr make_columns(SourcePtr input, std::int64_t rows, std::int64_t width, std::int64_t first,
                       std::int64_t length) {
  return std::make_shared<ColumnsSource>(std::move(input), rows, width, first, length);
}

SourcePtr make_concat(std::vector<ConcatPart> parts, std::int64_t rows) {
  return std::make_shared<ConcatSource>(std::move(parts), rows);
}

SourcePtr make_norm(SourcePtr input, std::int64_t outer, std::int64_t extent, std::int64_t inner) {
  return std::make_shared<NormSource>(std::move(input), outer, extent, inner);
}

std::string_view to_string(Function function) {
  switch (function) {
    case Function::sqrt:
      return "sqrt";
    case Function::exp:
      return "exp";
    case Function::sin:
      return "sin";
    case Function::cos:
      return "cos";
  }
  return {};
}

SourcePtr make_function(Function function, SourcePtr input) {
  return std::make_shared<FunctionSource>(function, std::move(input));
}

SourcePtr make_take(SourcePtr input, std::int64_t width, Dims indices) {
  return std::make_shared<TakeSource>(std::move(input), width, std::move(indices));
}

std::string_view to_string(Arithmetic op) {
  constexpr std::array<std::string_view, 4> kNames = {"add", "sub", "mul", "div"};
  return kNames.at(static_cast<std::size_t>(op));
}

SourcePtr make_arithmetic(Arithmetic op, SourcePtr a, const Dims& a_shape, SourcePtr b, const Dims& b_shape,
                          const Dims& shape) {
  const Dims a_strides = broadcast_strides(a_shape, shape), b_strides = broadcast_strides(b_shape, shape);
  Operand left{std::move(a), {}}, right{std::move(b), {}};
  // Neighbouring axes that both operands step through alike become one.
  Dims merged;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] == 1) continue;
    const bool same = !merged.empty() && left.strides.back() == a_strides[axis] * shape[axis] &&
                      right.strides.back() == b_strides[axis] * shape[axis];
    if (!same) {
      merged.push_back(1);
      left.strides.push_back(0);
      right.strides.push_back(0);
    }
    merged.back() *= shape[axis];
    left.strides.back() = a_strides[axis];
    right.strides.back() = b_strides[axis];
  }
  if (merged.empty()) {
    merged = {1};
    left.strides = right.strides = {0};
  }
  return std::make_shared<ArithmeticSource>(op, std::move(left), std::move(right), std::move(merged));
}

}  // namespace onnxport::detail
