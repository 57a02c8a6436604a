/// Quantization of a weight to 8-bit integers with one scale for each of its channels.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ir/weight_scan.h"
#include "support/quantize_tensor.h"

namespace onnxport::detail {

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

/// The codes of all values, and the scales of all channels. Thread-safe.
class ChannelScan {
 public:
  ChannelScan(NamedValues values, const Channels& shape, const TensorParameters& parameters)
      : values_(std::move(values)), shape_(shape), parameters_(parameters) {}
  virtual ~ChannelScan() = default;
  ChannelScan(const ChannelScan&) = delete;
  ChannelScan& operator=(const ChannelScan&) = delete;

  /// The codes of values [begin, begin + count).
  virtual void encode(std::int64_t begin, std::int64_t count, std::uint8_t* codes) const = 0;
  /// The scales of channels [first, first + count).
  virtual void read_scales(std::int64_t first, std::int64_t count, LinearScale* out) const = 0;

  /// Codes and scales follow the values: value by value, and all values of as many channels as possible.
  std::vector<Origin> origins_of_codes(std::int64_t begin, std::int64_t count) const;
  std::vector<Origin> origins_of_scales(std::int64_t first, std::int64_t count) const;

 protected:
  const NamedValues& values() const { return values_; }
  const Channels& shape() const { return shape_; }
  const TensorParameters& parameters() const { return parameters_; }

 private:
  NamedValues values_;
  Channels shape_;
  TensorParameters parameters_;
};

/// If the values of a channel lie together and fit into a tile, its scale is computed with its codes, in one
/// pass. Else the first use reads the whole weight for its scales; threads that come in the meantime share
/// that work.
std::shared_ptr<const ChannelScan> make_channel_scan(NamedValues values, const Channels& shape,
                                                     const TensorParameters& parameters);

}  // namespace onnxport::detail
