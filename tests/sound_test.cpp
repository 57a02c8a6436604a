// Parts of networks that make sound, against plain loops.
#include "onnxport/nn/sound.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Row = std::vector<double>;
using Sound = std::vector<Row>;  // channels, then samples
using Dims = std::vector<std::int64_t>;

// Tensors by key, with values of which no two are alike.
class Weights {
 public:
  void add(const std::string& key, const Dims& shape) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    Row values;
    for (std::int64_t i = 0; i < count; ++i)
      values.push_back(std::round(64 * std::sin(1.3 * static_cast<double>(tensors_.size()) +
                                                1.7 * static_cast<double>(i))) /
                       128);
    set(key, shape, values);
  }
  void set(const std::string& key, const Dims& shape, const Row& values) {
    tensors_[key] = values;
    shapes_[key] = shape;
  }
  const Row& operator[](const std::string& key) const { return tensors_.at(key); }
  Scope scope() const {
    std::vector<StoredTensor> stored;
    for (const auto& [key, values] : tensors_)
      stored.push_back({{.key = key, .dtype = DType::f32, .shape = shapes_.at(key)},
                        Weight::from_doubles(DType::f32, shapes_.at(key), values, key)});
    return {std::make_shared<const Checkpoint>(std::move(stored), "test"), std::make_shared<KeyAccounting>()};
  }

 private:
  std::map<std::string, Row> tensors_;
  std::map<std::string, Dims> shapes_;
};

Row run(Graph& graph, Value result, const Sound& input) {
  graph.output("y", result);
  Row flat;
  for (const Row& row : input) flat.insert(flat.end(), row.begin(), row.end());
  const Dims shape = {1, static_cast<std::int64_t>(input.size()), static_cast<std::int64_t>(input[0].size())};
  return reference::interpret(graph, {{{"x", Tensor::from_doubles(DType::f32, shape, flat)}}})[0][0].reals;
}

Sound sound(std::size_t channels, std::size_t samples) {
  Sound made(channels, Row(samples));
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t i = 0; i < samples; ++i)
      made[c][i] = std::round(16 * std::cos(static_cast<double>(5 * c + i))) / 16;
  }
  return made;
}

Value input(Graph& graph, const Sound& x) {
  return graph.input("x", {DType::f32, {1, static_cast<std::int64_t>(x.size()), Dim::symbol("samples")}});
}

// One output at a time, with zeros outside.
Sound conv(const Sound& x, const Row& weight, const Row& bias, std::size_t kernel, int dilation) {
  const std::size_t out = bias.size(), length = x[0].size();
  Sound y(out, Row(length));
  for (std::size_t o = 0; o < out; ++o) {
    for (std::size_t t = 0; t < length; ++t) {
      double sum = bias[o];
      for (std::size_t i = 0; i < x.size(); ++i) {
        for (std::size_t k = 0; k < kernel; ++k) {
          const int at =
              static_cast<int>(t) + (static_cast<int>(k) - static_cast<int>(kernel) / 2) * dilation;
          if (at < 0 || at >= static_cast<int>(length)) continue;
          sum += weight[(o * x.size() + i) * kernel + k] * x[i][static_cast<std::size_t>(at)];
        }
      }
      y[o][t] = sum;
    }
  }
  return y;
}

// Every sample adds its kernel; `padding` is cut off at both ends.
Sound transposed(const Sound& x, const Row& weight, const Row& bias, std::size_t kernel, std::size_t stride,
                 std::size_t padding) {
  const std::size_t out = bias.size(), whole = (x[0].size() - 1) * stride + kernel;
  Sound y(out, Row(whole));
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (std::size_t o = 0; o < out; ++o) {
      for (std::size_t t = 0; t < x[0].size(); ++t) {
        for (std::size_t k = 0; k < kernel; ++k)
          y[o][t * stride + k] += weight[(i * out + o) * kernel + k] * x[i][t];
      }
    }
  }
  for (std::size_t o = 0; o < out; ++o) {
    y[o] = Row(y[o].begin() + static_cast<int>(padding), y[o].end() - static_cast<int>(padding));
    for (double& value : y[o]) value += bias[o];
  }
  return y;
}

Sound each(Sound x, double (*f)(double)) {
  for (Row& row : x) std::transform(row.begin(), row.end(), row.begin(), f);
  return x;
}
Sound leaky(const Sound& x) {
  return each(x, [](double v) { return v > 0 ? v : 0.25 * v; });
}
Sound added(Sound x, const Sound& y) {
  for (std::size_t c = 0; c < x.size(); ++c) {
    for (std::size_t i = 0; i < x[c].size(); ++i) x[c][i] += y[c][i];
  }
  return x;
}

void expect_near(const Row& got, const Row& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-5) << "element " << i;
}

TEST(HifiGan, IsAPlainLoop) {
  constexpr std::int64_t kIn = 3, kChannels = 4;
  Weights w;
  const auto layer = [&](const std::string& key, const Dims& shape, std::int64_t bias) {
    w.add(key + ".weight", shape);
    if (bias > 0) w.add(key + ".bias", {bias});
  };
  layer("conv_pre", {kChannels, kIn, 7}, kChannels);
  layer("upsampler.0", {kChannels, 2, 4}, 2);
  for (const std::string block : {"0", "1"}) {
    const std::int64_t kernel = block == "0" ? 3 : 5;
    for (const std::string name : {".convs1.0", ".convs2.0"})
      layer(fmt::format("resblocks.{}{}", block, name), {2, 2, kernel}, 2);
  }
  layer("conv_post", {1, 2, 7}, 0);

  const Sound x = sound(kIn, 5);
  Graph graph;
  const nn::HifiGan vocoder(w.scope(), {.in = kIn,
                                        .channels = kChannels,
                                        .rates = {2},
                                        .kernels = {4},
                                        .block_kernels = {3, 5},
                                        .block_dilations = {{2}, {1}},
                                        .slope = 0.25,
                                        .output_bias = false});
  const Row got = run(graph, vocoder(input(graph, x)), x);

  Sound y = conv(x, w["conv_pre.weight"], w["conv_pre.bias"], 7, 1);
  y = transposed(leaky(y), w["upsampler.0.weight"], w["upsampler.0.bias"], 4, 2, 1);
  Sound sum(2, Row(y[0].size()));
  for (const std::string block : {"0", "1"}) {
    const std::string first = "resblocks." + block + ".convs1.0", second = "resblocks." + block + ".convs2.0";
    const std::size_t kernel = block == "0" ? 3 : 5;
    const Sound once = conv(leaky(y), w[first + ".weight"], w[first + ".bias"], kernel, block == "0" ? 2 : 1);
    const Sound twice = conv(leaky(once), w[second + ".weight"], w[second + ".bias"], kernel, 1);
    sum = added(sum, added(y, twice));
  }
  // The last activation has torch's own slope.
  const Sound mean = each(sum, [](double v) { return v > 0 ? v / 2 : 0.01 * v / 2; });
  expect_near(got, each(conv(mean, w["conv_post.weight"], {0}, 7, 1), std::tanh)[0]);
}

TEST(HifiGan, RefusesSizesThatDoNotFit) {
  const Weights w;
  const nn::HifiGanParameters right{
      .in = 3, .channels = 4, .rates = {2}, .kernels = {4}, .block_kernels = {3}, .block_dilations = {{1}}};
  for (int wrong = 0; wrong < 5; ++wrong) {
    nn::HifiGanParameters p = right;
    if (wrong == 0) p.rates = {2, 2};
    if (wrong == 1) p.kernels = {1};
    if (wrong == 2) p.kernels = {5};
    if (wrong == 3) p.channels = 1;
    if (wrong == 4) p.block_dilations = {};
    const std::string message = complaint(ErrorCode::bad_config, [&] { nn::HifiGan vocoder(w.scope(), p); });
    EXPECT_NE(message.find("upsample_rates"), std::string::npos) << message;
  }
  EXPECT_NE(complaint(ErrorCode::bad_config, [] { nn::same_padding(4); }).find("odd"), std::string::npos);
}

// v * g / ||v||, with the norm over each output channel.
TEST(SoundConv, TakesBothFormsOfAWeight) {
  Weights w;
  w.add("plain.weight", {2, 1, 3});
  w.add("normed.parametrizations.weight.original1", {2, 1, 3});
  w.set("normed.parametrizations.weight.original0", {2, 1, 1}, {2, 3});
  const Sound x = sound(1, 6);
  for (const std::string key : {"plain", "normed"}) {
    Graph graph;
    const nn::Conv1d layer = nn::sound_conv(w.scope() / key, 1, 2, 3, false, {.padding = {1, 1}});
    const Row got = run(graph, layer(input(graph, x)), x);
    Row weight = w[key == "plain" ? "plain.weight" : "normed.parametrizations.weight.original1"];
    for (std::size_t o = 0; key == "normed" && o < 2; ++o) {
      double square = 0;
      for (std::size_t k = 0; k < 3; ++k) square += weight[3 * o + k] * weight[3 * o + k];
      for (std::size_t k = 0; k < 3; ++k) weight[3 * o + k] *= (o == 0 ? 2 : 3) / std::sqrt(square);
    }
    const Sound expected = conv(x, weight, {0, 0}, 3, 1);
    Row flat = expected[0];
    flat.insert(flat.end(), expected[1].begin(), expected[1].end());
    expect_near(got, flat);
  }
}

TEST(SoundActivations, ByHand) {
  const Sound x = {{-2, -0.5, 0, 3}};
  Graph one, other;
  expect_near(run(one, nn::elu(input(one, x)), x), {std::exp(-2) - 1, std::exp(-0.5) - 1, 0, 3});
  expect_near(run(other, nn::leaky_relu(input(other, x), 0.5), x), {-1, -0.25, 0, 3});
}

TEST(BatchNorm1d, UsesRecordedStatistics) {
  Weights w;
  w.set("weight", {2}, {2, 1});
  w.set("bias", {2}, {0.5, -1});
  w.set("running_mean", {2}, {1, 0});
  w.set("running_var", {2}, {4 - 1e-5, 1 - 1e-5});
  const Sound x = {{3, 1}, {5, 6}};
  Graph graph;
  expect_near(run(graph, nn::batch_norm1d(w.scope(), 2, input(graph, x)), x), {2.5, 0.5, 4, 5});
}

}  // namespace
}  // namespace onnxport::test
