// Weights of 8-bit integers as lazy expressions.
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "counted_weight.h"
#include "ir/weight_quantized.h"
#include "weight_ranges.h"

namespace onnxport::test {
namespace {

struct RowCase {
  Dims shape;
  std::optional<std::int64_t> axis;
  std::int64_t channels;
};

// Channels whose values lie together, up to a tile: codes and scales need one pass, in either order of
// reading, and with parts of rows.
TEST(QuantizedWeight, ChannelsInRowsNeedOnePass) {
  for (const auto& [shape, axis, channels] : {RowCase{{700, 301}, 0, 700}, RowCase{{350, 2, 301}, 0, 350},
                                              RowCase{{250, 240}, {}, 1}, RowCase{{3, 65536}, -2, 3}}) {
    for (const DType dtype : {DType::i8, DType::u8}) {
      const auto [source, weight] = counted(shape);
      const TensorParameters parameters{.dtype = dtype, .symmetric = dtype == DType::i8, .axis = axis};
      const auto values = values_of<float>(weight);
      const std::int64_t width = weight.numel() / channels;
      Bytes codes(values.size()), scales, zero_points;
      for (std::int64_t i = 0; i < channels; ++i) {
        ValueRange range;
        extend_range(&values[static_cast<std::size_t>(i * width)], width, range);
        const LinearScale by = choose_scale(range, parameters);
        const auto bytes = std::as_bytes(std::span(&by.scale, 1));
        scales.insert(scales.end(), bytes.begin(), bytes.end());
        zero_points.push_back(static_cast<std::byte>(by.zero_point));
        encode_linear(&values[static_cast<std::size_t>(i * width)], width, by, dtype,
                      reinterpret_cast<std::uint8_t*>(&codes[static_cast<std::size_t>(i * width)]));
      }
      source->taken();
      const QuantizedTensor made = quantize_tensor(weight, parameters);
      EXPECT_EQ(read(made.codes), codes);
      EXPECT_EQ(read(made.scale), scales);
      EXPECT_EQ(read(made.zero_point), zero_points);
      EXPECT_EQ(source->taken(), weight.numel());
      const QuantizedTensor again = quantize_tensor(weight, parameters);
      EXPECT_EQ(read(again.scale), scales);
      EXPECT_EQ(read(again.codes), codes);
      EXPECT_EQ(source->taken(), 2 * weight.numel());
      expect_ranges(quantize_tensor(weight, parameters).codes, codes, "codes");
      expect_ranges(quantize_tensor(weight, parameters).zero_point, zero_points, "zero points");
    }
  }
}

// The codes of a transposed matrix are those of the matrix, transposed.
TEST(QuantizedWeight, TransposedMatricesNeedOnePass) {
  const auto [source, weight] = counted({300, 700});
  const Weight transposed = weight.cast(DType::f16).permute({1, 0}).cast(DType::f32);
  const auto values = values_of<float>(transposed);
  const auto bytes = std::as_bytes(std::span(values));
  const Weight stored = Weight::constant(DType::f32, {700, 300}, Bytes(bytes.begin(), bytes.end()));
  for (const std::int64_t axis : {0, 1, -1}) {
    const TensorParameters parameters{.axis = axis};
    const QuantizedTensor expected = quantize_tensor(stored, parameters);
    source->taken();
    const QuantizedTensor made = quantize_tensor(transposed, parameters);
    EXPECT_EQ(made.codes.shape(), stored.shape());
    EXPECT_EQ(made.codes.name(), transposed.name() + "_quantized");
    EXPECT_EQ(made.scale.name(), transposed.name() + "_scale");
    EXPECT_EQ(read(made.codes), read(expected.codes));
    EXPECT_EQ(read(made.scale), read(expected.scale));
    EXPECT_EQ(read(made.zero_point), read(expected.zero_point));
    EXPECT_EQ(source->taken(), axis == 0 ? 2 * weight.numel() : weight.numel());
  }
}

// A whole tensor, first, middle and last axis; more values than a thread takes at a time.
TEST(QuantizedWeight, RangesOfTensors) {
  for (const std::optional<std::int64_t> axis : {std::optional<std::int64_t>{}, {0}, {1}, {-1}}) {
    for (const DType dtype : {DType::i8, DType::u8}) {
      const auto [source, weight] = counted({7, 301, 503});
      const TensorParameters parameters{.dtype = dtype, .symmetric = dtype == DType::i8, .axis = axis};
      const auto values = values_of<float>(weight);
      const auto channel_of = [&](std::int64_t i) {
        if (!axis) return std::int64_t{0};
        return *axis == 0 ? i / (301 * 503) : *axis == 1 ? i / 503 % 301 : i % 503;
      };
      const std::int64_t channels = !axis ? 1 : *axis == 0 ? 7 : *axis == 1 ? 301 : 503;
      std::vector<ValueRange> ranges(static_cast<std::size_t>(channels));
      for (std::int64_t i = 0; i < weight.numel(); ++i) {
        extend_range(&values[static_cast<std::size_t>(i)], 1,
                     ranges[static_cast<std::size_t>(channel_of(i))]);
      }
      std::vector<float> scales;
      Bytes zero_points, codes(values.size());
      std::vector<LinearScale> by;
      for (const ValueRange& range : ranges) {
        by.push_back(choose_scale(range, parameters));
        scales.push_back(by.back().scale);
        zero_points.push_back(static_cast<std::byte>(by.back().zero_point));
      }
      for (std::int64_t i = 0; i < weight.numel(); ++i) {
        encode_linear(&values[static_cast<std::size_t>(i)], 1, by[static_cast<std::size_t>(channel_of(i))],
                      dtype, reinterpret_cast<std::uint8_t*>(&codes[static_cast<std::size_t>(i)]));
      }
      source->taken();
      const QuantizedTensor made = quantize_tensor(weight, parameters);
      EXPECT_EQ(source->taken(), 0);
      std::vector<std::jthread> threads;
      std::array<Bytes, 4> first;
      for (Bytes& bytes : first) threads.emplace_back([&, out = &bytes] { *out = read(made.scale); });
      threads.clear();
      EXPECT_EQ(source->taken(), weight.numel());  // together, once
      const auto scale_bytes = std::as_bytes(std::span(scales));
      for (const Bytes& bytes : first) EXPECT_EQ(bytes, Bytes(scale_bytes.begin(), scale_bytes.end()));
      EXPECT_EQ(made.scale.shape(), axis ? Dims{channels} : Dims{});
      EXPECT_EQ(made.zero_point.shape(), made.scale.shape());
      EXPECT_EQ(made.zero_point.dtype(), dtype);
      EXPECT_EQ(made.codes.dtype(), dtype);
      EXPECT_EQ(made.codes.shape(), weight.shape());
      EXPECT_EQ(read(made.zero_point), zero_points);
      expect_ranges(made.codes, codes, "codes");
    }
  }
}

}  // namespace
}  // namespace onnxport::test
