// Weights of 8-bit integers with one scale, or one for each channel.
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "ir/weight_boxes.h"
#include "ir/weight_expr.h"
#include "ir/weight_quantized.h"
#include "ir/weight_scan.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

/// Values [outer, channels, inner], where one scale belongs to a channel.
struct Channels {
  std::int64_t outer, channels, inner;

  /// Splits values [begin, begin + count) into the largest parts in which the channel is either the same, or
  /// changes from value to value. Calls fn(offset, count, channel) for each, in order.
  template <class Fn>
  void for_each_run(std::int64_t begin, std::int64_t count, Fn&& fn) const {
    const std::int64_t period = channels == 1 ? outer * inner : inner == 1 ? channels : inner;
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t at = begin + done, n = std::min(count - done, period - at % period);
      fn(done, n, at / inner % channels);
      done += n;
    }
  }
  bool changes_within_runs() const { return channels > 1 && inner == 1; }
};

/// The scales of a weight, computed from all of its values at the first use. Every thread that needs them
/// takes a part of the work that is left.
class ScaleScan {
 public:
  ScaleScan(NamedValues values, const Channels& shape, const TensorParameters& parameters)
      : values_(std::move(values)),
        shape_(shape),
        parameters_(parameters),
        parts_((values_.count - 1) / kPart + 1) {}

  const NamedValues& values() const { return values_; }
  const Channels& shape() const { return shape_; }

  const std::vector<LinearScale>& scales() const {
    std::unique_lock lock(mutex_);
    if (!done_) {
      work(lock);
      finished_.wait(lock, [&] { return done_; });
    }
    if (error_) std::rethrow_exception(error_);
    return scales_;
  }

 private:
  static constexpr std::int64_t kPart = std::int64_t{1} << 20;  // values

  void work(std::unique_lock<std::mutex>& lock) const {
    ++workers_;
    std::vector<ValueRange> ranges;
    while (next_ < parts_) {
      const std::int64_t part = next_++;
      lock.unlock();
      std::exception_ptr error;
      try {
        ranges.resize(static_cast<std::size_t>(shape_.channels));
        scan(part * kPart, std::min(kPart, values_.count - part * kPart), ranges);
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
    for (const ValueRange& range : ranges_) scales_.push_back(choose_scale(range, parameters_));
    ranges_.clear();
    done_ = true;
    finished_.notify_all();
  }

  void scan(std::int64_t begin, std::int64_t count, std::vector<ValueRange>& ranges) const {
    const std::int64_t step = tile_elements(sizeof(float), count);
    std::vector<float> tile(static_cast<std::size_t>(step));
    for (std::int64_t done = 0; done < count; done += step) {
      const std::int64_t here = std::min(step, count - done);
      values_.read(begin + done, here, tile.data());
      shape_.for_each_run(begin + done, here, [&](std::int64_t at, std::int64_t n, std::int64_t channel) {
        ValueRange& range = ranges[static_cast<std::size_t>(channel)];
        if (shape_.changes_within_runs()) {
          extend_ranges(tile.data() + at, n, &range);
        } else {
          extend_range(tile.data() + at, n, range);
        }
      });
    }
  }

  void merge(const std::vector<ValueRange>& ranges) const {
    ranges_.resize(static_cast<std::size_t>(shape_.channels));
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      ranges_[i] = {std::min(ranges_[i].low, ranges[i].low), std::max(ranges_[i].high, ranges[i].high)};
    }
  }

  NamedValues values_;
  Channels shape_;
  TensorParameters parameters_;
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
using ScaleScanPtr = std::shared_ptr<const ScaleScan>;

class TensorCodesSource final : public Source {
 public:
  TensorCodesSource(ScaleScanPtr scan, DType dtype, const std::string& text, int depth)
      : Source(dtype, fmt::format("codes({})", text), depth), scan_(std::move(scan)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::vector<LinearScale>& scales = scan_->scales();
    const std::int64_t step = tile_elements(sizeof(float), count);
    std::vector<float> tile(static_cast<std::size_t>(step));
    auto* codes = reinterpret_cast<std::uint8_t*>(out);
    for (std::int64_t done = 0; done < count; done += step, codes += step) {
      const std::int64_t here = std::min(step, count - done);
      scan_->values().read(begin + done, here, tile.data());
      const Channels& shape = scan_->shape();
      shape.for_each_run(begin + done, here, [&](std::int64_t at, std::int64_t n, std::int64_t channel) {
        const LinearScale* scale = &scales[static_cast<std::size_t>(channel)];
        if (shape.changes_within_runs()) {
          encode_linear(tile.data() + at, n, scale, dtype(), codes + at);
        } else {
          encode_linear(tile.data() + at, n, *scale, dtype(), codes + at);
        }
      });
    }
  }

 private:
  ScaleScanPtr scan_;
};

class TensorScaleSource final : public Source {
 public:
  TensorScaleSource(ScaleScanPtr scan, const std::string& text, int depth)
      : Source(DType::f32, fmt::format("scale({})", text), depth), scan_(std::move(scan)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::vector<LinearScale>& scales = scan_->scales();
    for (std::int64_t i = begin; i < begin + count; ++i, out += sizeof(float)) {
      std::memcpy(out, &scales[static_cast<std::size_t>(i)].scale, sizeof(float));
    }
  }

 private:
  ScaleScanPtr scan_;
};

class TensorZeroPointSource final : public Source {
 public:
  TensorZeroPointSource(ScaleScanPtr scan, DType dtype, const std::string& text, int depth)
      : Source(dtype, fmt::format("zero_point({})", text), depth), scan_(std::move(scan)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    const std::vector<LinearScale>& scales = scan_->scales();
    for (std::int64_t i = begin; i < begin + count; ++i) {
      *out++ = static_cast<std::byte>(scales[static_cast<std::size_t>(i)].zero_point);
    }
  }

 private:
  ScaleScanPtr scan_;
};

}  // namespace
}  // namespace detail

QuantizedTensor quantize_tensor(const Weight& weight, const TensorParameters& parameters) {
  const detail::Dims& shape = weight.shape();
  const auto rank = static_cast<std::int64_t>(shape.size());
  const bool has_axis = parameters.axis.has_value();
  std::int64_t axis = parameters.axis.value_or(0);
  if (parameters.dtype != DType::i8 && parameters.dtype != DType::u8) {
    fail(ErrorCode::invalid_argument, "codes of {}, expected int8 or uint8", to_string(parameters.dtype));
  }
  if (!is_float(weight.dtype()) || weight.numel() == 0 || (has_axis && (axis < -rank || axis >= rank))) {
    fail(ErrorCode::shape, "cannot quantize '{}' {}{}{}, expected floats that are not empty", weight.name(),
         to_string(weight.dtype()), text::shape_text(shape),
         has_axis ? fmt::format(" with a scale for each index of axis {}", axis) : "");
  }
  if (axis < 0) axis += rank;
  detail::Channels channels{1, 1, weight.numel()};
  if (has_axis) {
    channels.inner = 1;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      (at < axis ? channels.outer : at == axis ? channels.channels : channels.inner) *= shape[i];
    }
  }
  detail::NamedValues values = detail::NamedValues::of(weight);
  const int depth = values.source->depth() + 1;
  const std::string text =
      fmt::format("{}{}{},{}x{}x{},{}", short_name(parameters.dtype), parameters.symmetric ? "s" : "",
                  parameters.reduce_range ? "r" : "", channels.outer, channels.channels, channels.inner,
                  values.source->text());
  const auto scan = std::make_shared<const detail::ScaleScan>(std::move(values), channels, parameters);
  const auto part = [&](detail::SourcePtr source, const detail::Dims& dims, std::string_view suffix) {
    return detail::make_part(weight, std::move(source), dims, suffix);
  };
  const detail::Dims one = has_axis ? detail::Dims{channels.channels} : detail::Dims{};
  return {part(std::make_shared<detail::TensorCodesSource>(scan, parameters.dtype, text, depth), shape,
               "quantized"),
          part(std::make_shared<detail::TensorScaleSource>(scan, text, depth), one, "scale"),
          part(std::make_shared<detail::TensorZeroPointSource>(scan, parameters.dtype, text, depth), one,
               "zero_point")};
}

}  // namespace onnxport
