// Layers of convolutional networks and means over parts of images, against plain loops.
#include "onnxport/nn/conv_layer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/nn/pooling.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport {
namespace {

using reference::HostTensor;
using Dims = std::vector<std::int64_t>;

constexpr std::int64_t kPlanes = 6;  // two images of three channels

// Positive and negative, and not smooth.
std::vector<double> bumps(std::int64_t count, std::int64_t seed) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<float>(std::sin(static_cast<double>((i + seed) * (i + 3)))));
  return values;
}

struct Image {
  std::int64_t height, width;
  std::vector<double> pixels = bumps(kPlanes * height * width, 1);

  double at(std::int64_t plane, std::int64_t y, std::int64_t x) const {
    return pixels[static_cast<std::size_t>((plane * height + y) * width + x)];
  }
  Tensor tensor() const { return Tensor::from_doubles(DType::f32, {2, 3, height, width}, pixels); }
};

// A part of an image, which may reach beyond it.
struct Box {
  std::int64_t y0, y1, x0, x1;

  double mean(const Image& image, std::int64_t plane, bool count_outside) const {
    double sum = 0;
    std::int64_t count = count_outside ? (y1 - y0) * (x1 - x0) : 0;
    for (std::int64_t y = std::max<std::int64_t>(y0, 0); y < std::min(y1, image.height); ++y) {
      for (std::int64_t x = std::max<std::int64_t>(x0, 0); x < std::min(x1, image.width); ++x) {
        sum += image.at(plane, y, x);
        if (!count_outside) ++count;
      }
    }
    return sum / static_cast<double>(count);
  }
};

// The result of `apply` for an image whose extents are known at export, or only at run time.
HostTensor result(const Image& image, bool known, const std::function<Value(Value)>& apply) {
  Graph graph;
  const Dim height = known ? Dim(image.height) : Dim::symbol("height");
  const Dim width = known ? Dim(image.width) : Dim::symbol("width");
  graph.output("y", apply(graph.input("x", {DType::f32, {2, 3, height, width}})));
  return reference::interpret(graph, {{{"x", image.tensor()}}})[0].back();
}

void expect_means(const HostTensor& got, const Image& image, bool count_outside, const Dims& extents,
                  const std::function<Box(std::int64_t row, std::int64_t column)>& box) {
  ASSERT_EQ(got.shape, (Dims{2, 3, extents[0], extents[1]}));
  std::size_t i = 0;
  for (std::int64_t plane = 0; plane < kPlanes; ++plane) {
    for (std::int64_t row = 0; row < extents[0]; ++row) {
      for (std::int64_t column = 0; column < extents[1]; ++column, ++i)
        EXPECT_NEAR(got.reals[i], box(row, column).mean(image, plane, count_outside), 1e-6) << i;
    }
  }
}

TEST(Pooling, AveragesWindowsWithAndWithoutTheirPadding) {
  for (const bool known : {true, false}) {
    for (const bool count_padding : {true, false}) {
      SCOPED_TRACE(fmt::format("known {}, padding counts {}", known, count_padding));
      const Image image{6, 9};
      const HostTensor got = result(image, known, [&](Value x) {
        return nn::average_pool2d(
            x, {.kernel = {3, 2}, .stride = {2, 3}, .padding = {1, 1}, .count_padding = count_padding});
      });
      expect_means(got, image, count_padding, {3, 4}, [](std::int64_t row, std::int64_t column) {
        return Box{2 * row - 1, 2 * row + 2, 3 * column - 1, 3 * column + 1};
      });
    }
  }
}

TEST(Pooling, AveragesPartsThatCoverAnImageOfAnySize) {
  for (const bool known : {true, false}) {
    for (const auto& [height, width] : {std::pair{4, 3}, {11, 2}, {1, 7}, {8, 6}}) {
      SCOPED_TRACE(fmt::format("known {}, {} by {}", known, height, width));
      const Image image{height, width};
      const HostTensor got =
          result(image, known, [](Value x) { return nn::adaptive_average_pool2d(x, 4, 3); });
      // torch.nn.functional.adaptive_avg_pool2d: from the floor of the beginning to the ceiling of the end.
      const auto begin = [](std::int64_t i, std::int64_t n, std::int64_t parts) { return i * n / parts; };
      const auto end = [](std::int64_t i, std::int64_t n, std::int64_t parts) {
        return ((i + 1) * n + parts - 1) / parts;
      };
      expect_means(got, image, false, {4, 3}, [&](std::int64_t row, std::int64_t column) {
        return Box{begin(row, height, 4), end(row, height, 4), begin(column, width, 3),
                   end(column, width, 3)};
      });
    }
  }
}

// Layers from a checkpoint of numbers.
struct Stored {
  std::vector<StoredTensor> tensors;
  std::shared_ptr<KeyAccounting> accounting = std::make_shared<KeyAccounting>();

  // Scales between 1/2 and 3/2 for variances and weights of norms.
  void add(const std::string& key, const Dims& shape, bool positive = false) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    std::vector<double> values = bumps(count, static_cast<std::int64_t>(key.size()));
    for (double& value : values) value = static_cast<float>(positive ? 1 + value / 2 : value);
    tensors.push_back({{.key = key, .dtype = DType::f32, .shape = shape},
                       Weight::from_doubles(DType::f32, shape, values, key)});
  }
  void add_norm(const std::string& key, std::int64_t channels) {
    for (const char* name : {"weight", "running_var"}) add(key + "." + name, {channels}, true);
    for (const char* name : {"bias", "running_mean"}) add(key + "." + name, {channels});
  }
  Scope scope() const { return {std::make_shared<const Checkpoint>(tensors, "test"), accounting, "layer"}; }
  double number(const std::string& key, std::int64_t i) const {
    const auto found = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const StoredTensor& t) { return t.view.key == "layer." + key; });
    return found->weight.to_doubles()[static_cast<std::size_t>(i)];
  }
  double normed(const std::string& norm, double x, std::int64_t channel, double eps) const {
    const double deviation = std::sqrt(number(norm + ".running_var", channel) + eps);
    const double centred = x - number(norm + ".running_mean", channel);
    return centred / deviation * number(norm + ".weight", channel) + number(norm + ".bias", channel);
  }
};

TEST(ConvLayer, PadsAsAsked) {
  Stored stored;
  stored.add("layer.convolution.weight", {3, 1, 3, 3});
  stored.add_norm("layer.normalization", 3);
  constexpr double kEps = 0.01;
  for (const bool known : {true, false}) {
    for (const auto padding : {nn::ConvPadding::centered, nn::ConvPadding::tensorflow}) {
      for (const std::int64_t height : {6, 7}) {
        SCOPED_TRACE(fmt::format("known {}, {} padding, {} rows", known, static_cast<int>(padding), height));
        const nn::ConvLayer layer(stored.scope(), {.in = 3,
                                                   .out = 3,
                                                   .kernel = 3,
                                                   .stride = 2,
                                                   .groups = 3,
                                                   .padding = padding,
                                                   .activation = "relu",
                                                   .eps = kEps});
        const Image image{height, 5};
        const HostTensor got = result(image, known, layer);
        const std::int64_t rows = (height + 1) / 2;
        ASSERT_EQ(got.shape, (Dims{2, 3, rows, 3}));
        // TensorFlow puts the odd element of padding behind an even extent.
        const std::int64_t above = padding == nn::ConvPadding::centered || height % 2 == 1 ? 1 : 0;
        std::size_t i = 0;
        for (std::int64_t plane = 0; plane < kPlanes; ++plane) {
          for (std::int64_t row = 0; row < rows; ++row) {
            for (std::int64_t column = 0; column < 3; ++column, ++i) {
              double sum = 0;
              for (std::int64_t k = 0; k < 9; ++k) {
                const std::int64_t y = 2 * row - above + k / 3, x = 2 * column - 1 + k % 3;
                if (y < 0 || y >= height || x < 0 || x >= 5) continue;
                sum += image.at(plane, y, x) * stored.number("convolution.weight", plane % 3 * 9 + k);
              }
              const double expected = std::max(0.0, stored.normed("normalization", sum, plane % 3, kEps));
              EXPECT_NEAR(got.reals[i], expected, 1e-5) << i;
            }
          }
        }
      }
    }
  }
}

TEST(SqueezeExcite, MultipliesChannelsByGates) {
  Stored stored;
  stored.add("layer.reduce.weight", {2, 3, 1, 1});
  stored.add("layer.reduce.bias", {2});
  stored.add("layer.expand.weight", {3, 2, 1, 1});
  stored.add("layer.expand.bias", {3});
  const nn::SqueezeExcite layer(stored.scope(), {.channels = 3, .reduced = 2});
  const Image image{4, 5};
  for (const bool known : {true, false}) {
    const HostTensor got = result(image, known, layer);
    for (std::int64_t plane = 0; plane < kPlanes; ++plane) {
      double score = stored.number("expand.bias", plane % 3);
      for (std::int64_t j = 0; j < 2; ++j) {
        double hidden = stored.number("reduce.bias", j);
        for (std::int64_t channel = 0; channel < 3; ++channel)
          hidden += stored.number("reduce.weight", j * 3 + channel) *
                    Box{0, 4, 0, 5}.mean(image, plane / 3 * 3 + channel, false);
        score += stored.number("expand.weight", plane % 3 * 2 + j) * std::max(0.0, hidden);
      }
      const double gate = 1 / (1 + std::exp(-score));
      for (std::int64_t pixel = 0; pixel < 20; ++pixel) {
        const auto i = static_cast<std::size_t>(plane * 20 + pixel);
        EXPECT_NEAR(got.reals[i], image.pixels[i] * gate, 1e-6) << i;
      }
    }
  }
}

TEST(InvertedResidual, AddsTheInputOnlyIfTheShapesAreEqual) {
  Stored stored;
  stored.add("layer.expand_1x1.convolution.weight", {4, 3, 1, 1});
  stored.add("layer.conv_3x3.convolution.weight", {4, 1, 3, 3});
  stored.add("layer.reduce_1x1.convolution.weight", {3, 4, 1, 1});
  stored.add_norm("layer.expand_1x1.normalization", 4);
  stored.add_norm("layer.conv_3x3.normalization", 4);
  stored.add_norm("layer.reduce_1x1.normalization", 3);
  const Image image{4, 6};
  for (const std::int64_t stride : {1, 2}) {
    const nn::InvertedResidual layer(stored.scope(), {.in = 3, .inner = 4, .out = 3, .stride = stride});
    const HostTensor got = result(image, true, layer);
    const HostTensor inside = result(image, true, [&](Value x) {
      const Scope s = stored.scope();
      x = nn::ConvLayer(s / "expand_1x1", {.in = 3, .out = 4, .activation = "relu"})(x);
      x = nn::ConvLayer(
          s / "conv_3x3",
          {.in = 4, .out = 4, .kernel = 3, .stride = stride, .groups = 4, .activation = "relu"})(x);
      return nn::ConvLayer(s / "reduce_1x1", {.in = 4, .out = 3})(x);
    });
    ASSERT_EQ(got.shape, inside.shape);
    for (std::size_t i = 0; i < got.reals.size(); ++i)
      EXPECT_NEAR(got.reals[i], inside.reals[i] + (stride == 1 ? image.pixels[i] : 0), 1e-6) << i;
  }
}

}  // namespace
}  // namespace onnxport
