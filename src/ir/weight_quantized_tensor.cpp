// Weights of 8-bit integers with one scale, or one for each channel.
#include <fmt/format.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ir/weight_channel_scan.h"
#include "ir/weight_expr.h"
#include "ir/weight_quantized.h"
#include "ir/weight_scan.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace detail {
namespace {

using ScanPtr = std::shared_ptr<const ChannelScan>;

class TensorCodesSource final : public Source {
 public:
  TensorCodesSource(ScanPtr scan, DType dtype, const std::string& text, int depth)
      : Source(dtype, fmt::format("codes({})", text), depth), scan_(std::move(scan)) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    scan_->encode(begin, count, reinterpret_cast<std::uint8_t*>(out));
  }
  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return scan_->origins_of_codes(begin, count);
  }

 private:
  ScanPtr scan_;
};

/// A number for each channel.
class ChannelSource : public Source {
 public:
  ChannelSource(ScanPtr scan, DType dtype, const std::string& text, int depth)
      : Source(dtype, text, depth), scan_(std::move(scan)) {}

  std::vector<Origin> origins(std::int64_t begin, std::int64_t count) const override {
    return scan_->origins_of_scales(begin, count);
  }

 protected:
  std::vector<LinearScale> scales(std::int64_t begin, std::int64_t count) const {
    std::vector<LinearScale> scales(static_cast<std::size_t>(count));
    scan_->read_scales(begin, count, scales.data());
    return scales;
  }

 private:
  ScanPtr scan_;
};

class TensorScaleSource final : public ChannelSource {
 public:
  TensorScaleSource(ScanPtr scan, const std::string& text, int depth)
      : ChannelSource(std::move(scan), DType::f32, fmt::format("scale({})", text), depth) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    for (const LinearScale& by : scales(begin, count)) {
      std::memcpy(out, &by.scale, sizeof by.scale);
      out += sizeof by.scale;
    }
  }
};

class TensorZeroPointSource final : public ChannelSource {
 public:
  TensorZeroPointSource(ScanPtr scan, DType dtype, const std::string& text, int depth)
      : ChannelSource(std::move(scan), dtype, fmt::format("zero_point({})", text), depth) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    for (const LinearScale& by : scales(begin, count)) *out++ = static_cast<std::byte>(by.zero_point);
  }
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
  if (const Weight matrix = weight.transpose_of()) {  // codes take less time to transpose than floats
    TensorParameters along = parameters;
    if (has_axis) along.axis = 1 - axis;
    QuantizedTensor made = quantize_tensor(matrix.named(weight.name()), along);
    made.codes = made.codes.permute({1, 0}).named(made.codes.name());
    return made;
  }
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
  const auto scan = detail::make_channel_scan(std::move(values), channels, parameters);
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
