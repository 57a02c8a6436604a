// Slices of weights, and weights side by side.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"

namespace onnxport::detail {
namespace {

/// Whether the parts of rows are few, or long enough to be handled one by one.
bool has_long_runs(std::int64_t rows, std::int64_t run, std::int64_t element_size) {
  return rows == 1 || run * element_size >= kTileBytes;
}

/// Calls fn(row, first column, columns) for every row that has some of the elements [begin, begin + count).
template <class Fn>
void for_each_row(const Dims& shape, std::int64_t begin, std::int64_t count, Fn&& fn) {
  while (count > 0) {
    const std::int64_t n = std::min(count, shape[1] - begin % shape[1]);
    fn(begin / shape[1], begin % shape[1], n);
    begin += n;
    count -= n;
  }
}

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

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    if (!has_long_runs(in_shape_[0], out_shape_[1], element_size())) return Source::origins(begin, count);
    std::vector<Origin> all;
    for_each_row(out_shape_, begin, count, [&](std::int64_t row, std::int64_t column, std::int64_t n) {
      append_origins(all, *input_, row * in_shape_[1] + first_ + column, n, row * out_shape_[1] + column);
    });
    return all;
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

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    std::int64_t shortest = shape_[1];
    for (const ConcatPart& part : parts_) shortest = std::min(shortest, part.width);
    if (!has_long_runs(shape_[0], shortest, element_size())) return Source::origins(begin, count);
    std::vector<Origin> all;
    for_each_row(shape_, begin, count, [&](std::int64_t row, std::int64_t column, std::int64_t n) {
      for (std::size_t i = 0; i < parts_.size(); ++i) {
        const std::int64_t first = std::max(column, starts_[i]);
        const std::int64_t last = std::min(column + n, starts_[i] + parts_[i].width);
        if (first >= last) continue;
        append_origins(all, *parts_[i].source, row * parts_[i].width + first - starts_[i], last - first,
                       row * shape_[1] + first);
      }
    });
    return all;
  }

 private:
  /// Copies whole rows of one part to their positions in whole rows of the output.
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

}  // namespace

SourcePtr make_columns(SourcePtr input, std::int64_t rows, std::int64_t width, std::int64_t first,
                       std::int64_t length) {
  return std::make_shared<ColumnsSource>(std::move(input), rows, width, first, length);
}

SourcePtr make_concat(std::vector<ConcatPart> parts, std::int64_t rows) {
  return std::make_shared<ConcatSource>(std::move(parts), rows);
}

}  // namespace onnxport::detail
