// Packed attention, norms over channels, and windows of images, against plain loops.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "models/vision/common/square_windows.h"
#include "onnxport/nn/channel_norm.h"
#include "onnxport/nn/packed_attention.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Row = std::vector<double>;
using Sizes = std::vector<std::int64_t>;

// Multiples of 1/32, which float32 holds exactly.
Row numbers(std::int64_t count, int seed) {
  Row made;
  for (std::int64_t i = 0; i < count; ++i)
    made.push_back(static_cast<double>((i * 11 + seed * 7) % 37 - 18) / 32);
  return made;
}

double at(const Row& values, std::int64_t i) { return values[static_cast<std::size_t>(i)]; }

Tensor floats(const Sizes& shape, const Row& values) {
  return Tensor::from_doubles(DType::f32, shape, values);
}

struct Stored {
  std::string key;
  Sizes shape;
  Row values;
};

Scope scope_of(const std::vector<Stored>& stored) {
  std::vector<StoredTensor> tensors;
  for (const Stored& one : stored) {
    tensors.push_back({{.key = one.key, .dtype = DType::f32, .shape = one.shape},
                       Weight::from_doubles(DType::f32, one.shape, one.values, one.key)});
  }
  return {std::make_shared<const Checkpoint>(std::move(tensors), "test"), std::make_shared<KeyAccounting>()};
}

Row run(const Graph& graph, const reference::Case& inputs) {
  return reference::interpret(graph, {inputs})[0][0].reals;
}

void expect_close(const Row& got, const Row& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-6) << "element " << i;
}

constexpr std::int64_t kBatch = 2, kQueries = 3, kKeys = 4, kHeads = 2, kDim = 3, kWidth = kHeads * kDim;

struct Attention {
  Row weight = numbers(3 * kWidth * kWidth, 1), bias = numbers(3 * kWidth, 2);
  Row out_weight = numbers(kWidth * kWidth, 3), out_bias = numbers(kWidth, 4);

  Scope scope() const {
    return scope_of({{"in_proj_weight", {3 * kWidth, kWidth}, weight},
                     {"in_proj_bias", {3 * kWidth}, bias},
                     {"out_proj.weight", {kWidth, kWidth}, out_weight},
                     {"out_proj.bias", {kWidth}, out_bias}});
  }

  // Element `out` of the projection `part` (query, key, value) of a row of x.
  double project(std::int64_t part, const Row& x, std::int64_t row, std::int64_t out) const {
    double sum = at(bias, part * kWidth + out);
    for (std::int64_t i = 0; i < kWidth; ++i)
      sum += at(weight, (part * kWidth + out) * kWidth + i) * at(x, row * kWidth + i);
    return sum;
  }

  // `shared`: all images have the same queries.
  Row plain(const Row& query, bool shared, const Row& key, const Row& value) const {
    Row result;
    for (std::int64_t b = 0; b < kBatch; ++b) {
      for (std::int64_t q = 0; q < kQueries; ++q) {
        Row context;
        for (std::int64_t k = 0; k < kWidth; ++k) {
          double total = 0, sum = 0;
          for (std::int64_t s = 0; s < kKeys; ++s) {
            double score = 0;
            for (std::int64_t d = k / kDim * kDim; d < k / kDim * kDim + kDim; ++d) {
              const std::int64_t row = shared ? q : b * kQueries + q;
              score += project(0, query, row, d) * project(1, key, b * kKeys + s, d);
            }
            const double share = std::exp(score / std::sqrt(static_cast<double>(kDim)));
            total += share;
            sum += share * project(2, value, b * kKeys + s, k);
          }
          context.push_back(sum / total);
        }
        for (std::int64_t out = 0; out < kWidth; ++out) {
          double sum = at(out_bias, out);
          for (std::int64_t i = 0; i < kWidth; ++i) sum += at(out_weight, out * kWidth + i) * at(context, i);
          result.push_back(sum);
        }
      }
    }
    return result;
  }
};

TEST(PackedAttention, AttendsLikeThePlainLoop) {
  const Attention attention;
  const Row key = numbers(kBatch * kKeys * kWidth, 6), value = numbers(kBatch * kKeys * kWidth, 7);
  for (const bool shared : {false, true}) {
    const std::int64_t rows = shared ? 1 : kBatch;
    const Row query = numbers(rows * kQueries * kWidth, 5);
    Graph graph;
    const Value q = graph.input("query", {DType::f32, {rows, kQueries, kWidth}});
    const Value k = graph.input("key", {DType::f32, {kBatch, kKeys, kWidth}});
    const Value v = graph.input("value", {DType::f32, {kBatch, kKeys, kWidth}});
    graph.output("y", nn::PackedAttention(attention.scope(), kWidth, kHeads)(q, k, v));
    const reference::Case inputs = {{"query", floats({rows, kQueries, kWidth}, query)},
                                    {"key", floats({kBatch, kKeys, kWidth}, key)},
                                    {"value", floats({kBatch, kKeys, kWidth}, value)}};
    expect_close(run(graph, inputs), attention.plain(query, shared, key, value));
  }
}

TEST(ChannelNorm, NormsEachPixel) {
  constexpr std::int64_t channels = 5, pixels = 2 * 3;
  constexpr double eps = 1e-3;
  const Row weight = numbers(channels, 1), bias = numbers(channels, 2), x = numbers(2 * channels * pixels, 3);
  Graph graph;
  const Value image = graph.input("image", {DType::f32, {2, channels, 2, 3}});
  const Scope s = scope_of({{"weight", {channels}, weight}, {"bias", {channels}, bias}});
  graph.output("y", nn::ChannelNorm(s, channels, eps)(image));
  Row expected(x.size());
  for (std::int64_t b = 0; b < 2; ++b) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      const auto index = [&](std::int64_t c) { return (b * channels + c) * pixels + pixel; };
      double mean = 0, variance = 0;
      for (std::int64_t c = 0; c < channels; ++c) mean += at(x, index(c)) / channels;
      for (std::int64_t c = 0; c < channels; ++c) variance += std::pow(at(x, index(c)) - mean, 2) / channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        expected[static_cast<std::size_t>(index(c))] =
            (at(x, index(c)) - mean) / std::sqrt(variance + eps) * at(weight, c) + at(bias, c);
      }
    }
  }
  expect_close(run(graph, {{"image", floats({2, channels, 2, 3}, x)}}), expected);
}

TEST(SquareWindows, CutsAndJoins) {
  constexpr std::int64_t rows = 5, columns = 4, window = 3, channels = 2;
  const Row x = numbers(kBatch * rows * columns * channels, 1);
  const reference::Case inputs = {{"x", floats({kBatch, rows, columns, channels}, x)}};
  Graph cut, joined;
  const auto make = [&](Graph& graph) {
    const Value image = graph.input("x", {DType::f32, {Dim::symbol("batch"), rows, columns, channels}});
    return models::cut_windows(image, window);
  };
  cut.output("y", make(cut));
  Row expected;
  for (std::int64_t b = 0; b < kBatch; ++b) {
    for (std::int64_t top = 0; top < rows; top += window) {
      for (std::int64_t left = 0; left < columns; left += window) {
        for (std::int64_t i = 0; i < window * window * channels; ++i) {
          const std::int64_t pixel = i / channels;
          const std::int64_t row = top + pixel / window, column = left + pixel % window;
          const bool inside = row < rows && column < columns;
          expected.push_back(inside ? at(x, ((b * rows + row) * columns + column) * channels + i % channels)
                                    : 0);
        }
      }
    }
  }
  expect_close(run(cut, inputs), expected);
  joined.output("y", models::join_windows(make(joined), Dim::symbol("batch"), rows, columns));
  expect_close(run(joined, inputs), x);
}

}  // namespace
}  // namespace onnxport::test
