#include "ir/weight_channel_scan.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <utility>

#include "ir/weight_boxes.h"

namespace onnxport::detail {
namespace {

/// The scales of a weight, computed from all of its values at the first use. Every thread that needs them
/// takes a part of the work that is left.
class WholeScan final : public ChannelScan {
 public:
  WholeScan(NamedValues values, const Channels& shape, const TensorParameters& parameters)
      : ChannelScan(std::move(values), shape, parameters), parts_((this->values().count - 1) / kPart + 1) {}

  void encode(std::int64_t begin, std::int64_t count, std::uint8_t* codes) const override {
    const std::vector<LinearScale>& by = scales();
    const std::int64_t step = tile_elements(sizeof(float), count);
    std::vector<float> tile(static_cast<std::size_t>(step));
    for (std::int64_t done = 0; done < count; done += step, codes += step) {
      const std::int64_t here = std::min(step, count - done);
      values().read(begin + done, here, tile.data());
      shape().for_each_run(begin + done, here, [&](std::int64_t at, std::int64_t n, std::int64_t channel) {
        const LinearScale* scale = &by[static_cast<std::size_t>(channel)];
        if (shape().changes_within_runs()) {
          encode_linear(tile.data() + at, n, scale, parameters().dtype, codes + at);
        } else {
          encode_linear(tile.data() + at, n, *scale, parameters().dtype, codes + at);
        }
      });
    }
  }

  void read_scales(std::int64_t first, std::int64_t count, LinearScale* out) const override {
    std::copy_n(scales().begin() + first, count, out);
  }

 private:
  static constexpr std::int64_t kPart = std::int64_t{1} << 20;  // values

  const std::vector<LinearScale>& scales() const {
    std::unique_lock lock(mutex_);
    if (!done_) {
      work(lock);
      finished_.wait(lock, [&] { return done_; });
    }
    if (error_) std::rethrow_exception(error_);
    return scales_;
  }

  void work(std::unique_lock<std::mutex>& lock) const {
    ++workers_;
    std::vector<ValueRange> ranges;
    while (next_ < parts_) {
      const std::int64_t part = next_++;
      lock.unlock();
      std::exception_ptr error;
      try {
        ranges.resize(static_cast<std::size_t>(shape().channels));
        scan(part * kPart, std::min(kPart, values().count - part * kPart), ranges);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (!error) continue;
      next_ = parts_;
      error_ = error;
    }
    merge(ranges);
    if (--workers_ > 0 || done_) return;
    for (const ValueRange& range : ranges_) scales_.push_back(choose_scale(range, parameters()));
    ranges_.clear();
    done_ = true;
    finished_.notify_all();
  }

  void scan(std::int64_t begin, std::int64_t count, std::vector<ValueRange>& ranges) const {
    const std::int64_t step = tile_elements(sizeof(float), count);
    std::vector<float> tile(static_cast<std::size_t>(step));
    for (std::int64_t done = 0; done < count; done += step) {
      const std::int64_t here = std::min(step, count - done);
      values().read(begin + done, here, tile.data());
      shape().for_each_run(begin + done, here, [&](std::int64_t at, std::int64_t n, std::int64_t channel) {
        ValueRange& range = ranges[static_cast<std::size_t>(channel)];
        if (shape().changes_within_runs()) {
          extend_ranges(tile.data() + at, n, &range);
        } else {
          extend_range(tile.data() + at, n, range);
        }
      });
    }
  }

  void merge(const std::vector<ValueRange>& ranges) const {
    ranges_.resize(static_cast<std::size_t>(shape().channels));
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      ranges_[i] = {std::min(ranges_[i].low, ranges[i].low), std::max(ranges_[i].high, ranges[i].high)};
    }
  }

  std::int64_t parts_;

  mutable std::mutex mutex_;  ///< of everything below
  mutable std::condition_variable finished_;
  mutable std::int64_t next_ = 0;  ///< the first part that nobody has taken
  mutable int workers_ = 0;
  mutable bool done_ = false;
  mutable std::exception_ptr error_;
  mutable std::vector<ValueRange> ranges_;
  mutable std::vector<LinearScale> scales_;
};

/// Each channel is a row that fits into a tile. Its scale is kept once it is known. If two threads compute
/// it, they get the same.
class RowScan final : public ChannelScan {
 public:
  RowScan(NamedValues values, const Channels& shape, const TensorParameters& parameters)
      : ChannelScan(std::move(values), shape, parameters), scales_(static_cast<std::size_t>(shape.channels)) {
    for (auto& scale : scales_) scale.store({0, 0}, std::memory_order_relaxed);
  }

  static bool fits(const Channels& shape) {
    return shape.outer == 1 && shape.inner <= kTileBytes / static_cast<std::int64_t>(sizeof(float));
  }

  void encode(std::int64_t begin, std::int64_t count, std::uint8_t* codes) const override {
    const std::int64_t width = shape().inner;
    std::vector<float> tile(static_cast<std::size_t>(std::max(width, rows_of(count) * width)));
    while (count > 0) {
      const std::int64_t row = begin / width, column = begin % width;
      std::int64_t n = std::min(count, width - column);
      if (n < width) {
        encode_part(row, column, n, tile.data(), codes);
      } else {
        const std::int64_t rows = rows_of(count);
        n = rows * width;
        values().read(begin, n, tile.data());
        for (std::int64_t i = 0; i < rows; ++i) {
          const float* at = tile.data() + i * width;
          encode_linear(at, width, scale(row + i, at), parameters().dtype, codes + i * width);
        }
      }
      begin += n;
      count -= n;
      codes += n;
    }
  }

  void read_scales(std::int64_t first, std::int64_t count, LinearScale* out) const override {
    const std::int64_t width = shape().inner;
    std::vector<float> tile;
    while (count > 0) {
      if (const LinearScale known = kept(first); known.scale != 0) {
        *out++ = known;
        ++first;
        --count;
        continue;
      }
      const std::int64_t rows = rows_of(count * width);
      tile.resize(static_cast<std::size_t>(rows * width));
      values().read(first * width, rows * width, tile.data());
      for (std::int64_t i = 0; i < rows; ++i) *out++ = scale(first + i, tile.data() + i * width);
      first += rows;
      count -= rows;
    }
  }

 private:
  /// The rows of a tile, if there are as many in `count` values; at least one.
  std::int64_t rows_of(std::int64_t count) const {
    return std::max<std::int64_t>(tile_elements(sizeof(float), count) / shape().inner, 1);
  }

  void encode_part(std::int64_t row, std::int64_t column, std::int64_t count, float* tile,
                   std::uint8_t* codes) const {
    const std::int64_t start = row * shape().inner;
    LinearScale by = kept(row);
    if (by.scale == 0) {
      values().read(start, shape().inner, tile);
      by = scale(row, tile);
      tile += column;
    } else {
      values().read(start + column, count, tile);
    }
    encode_linear(tile, count, by, parameters().dtype, codes);
  }

  /// Its scale is 0 if it is not known yet.
  LinearScale kept(std::int64_t row) const {
    return scales_[static_cast<std::size_t>(row)].load(std::memory_order_relaxed);
  }

  /// `values`: all of the row.
  LinearScale scale(std::int64_t row, const float* values) const {
    LinearScale result = kept(row);
    if (result.scale != 0) return result;
    ValueRange range;
    extend_range(values, shape().inner, range);
    result = choose_scale(range, parameters());
    scales_[static_cast<std::size_t>(row)].store(result, std::memory_order_relaxed);
    return result;
  }

  mutable std::vector<std::atomic<LinearScale>> scales_;
};

}  // namespace

std::vector<Origin> ChannelScan::origins_of_codes(std::int64_t begin, std::int64_t count) const {
  return origins_by_unit(*values_.source, 1, 1, begin, count);
}

std::vector<Origin> ChannelScan::origins_of_scales(std::int64_t first, std::int64_t count) const {
  if (shape_.outer == 1) return origins_by_unit(*values_.source, shape_.inner, 1, first, count);
  return origins_by_unit(*values_.source, values_.count, shape_.channels, first, count);
}

std::shared_ptr<const ChannelScan> make_channel_scan(NamedValues values, const Channels& shape,
                                                     const TensorParameters& parameters) {
  if (RowScan::fits(shape)) return std::make_shared<const RowScan>(std::move(values), shape, parameters);
  return std::make_shared<const WholeScan>(std::move(values), shape, parameters);
}

}  // namespace onnxport::detail
