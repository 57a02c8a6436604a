// Parts of encoders of images and videos, against plain loops.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/rotated_encoder.h"
#include "onnxport/nn/video.h"
#include "onnxport/nn/vision.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport {
namespace {

using Reals = std::vector<double>;
using Dims = std::vector<std::int64_t>;

std::int64_t product(const Dims& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

// Values of which no two are alike, around 0.
Reals values(std::int64_t count, double seed) {
  Reals result;
  for (std::int64_t i = 0; i < count; ++i) result.push_back(std::sin(seed + 1.7 * static_cast<double>(i)));
  return result;
}

double at(const Reals& reals, std::int64_t index) { return reals[static_cast<std::size_t>(index)]; }

/// Tensors of a checkpoint, in order of their creation.
struct Stored {
  std::vector<StoredTensor> tensors;

  Reals add(const std::string& key, const Dims& shape) {
    const Weight made = Weight::from_doubles(
        DType::f32, shape, values(product(shape), 3.0 * static_cast<double>(tensors.size())), key);
    tensors.push_back({{.key = key, .dtype = DType::f32, .shape = shape}, made});
    return made.to_doubles();
  }
  Scope scope() const {
    return Scope(std::make_shared<const Checkpoint>(tensors, "test"), std::make_shared<KeyAccounting>());
  }
};

Reals run(Graph& graph, Value result, const reference::Case& inputs = {}) {
  graph.output("y", result);
  return reference::interpret(graph, {inputs})[0].back().reals;
}

void expect_close(const Reals& got, const Reals& expected, double tolerance = 1e-9) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], tolerance) << "element " << i;
}

// ---- resampling_matrix ----

// The weights of torch.nn.functional.interpolate(…, mode="bicubic", antialias=True) along an axis.
Reals antialiased(std::int64_t to, std::int64_t from) {
  const double step = static_cast<double>(from) / static_cast<double>(to), stretch = std::max(step, 1.0);
  const auto kernel = [](double d) {
    constexpr double a = -0.5;
    d = std::abs(d);
    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0.0;
  };
  Reals matrix;
  for (std::int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * step;
    double sum = 0;
    for (std::int64_t m = 0; m < from; ++m) {
      matrix.push_back(kernel((static_cast<double>(m) + 0.5 - centre) / stretch));
      sum += matrix.back();
    }
    for (std::int64_t m = 0; m < from; ++m) matrix[static_cast<std::size_t>(i * from + m)] /= sum;
  }
  return matrix;
}

TEST(ResamplingMatrix, HasAWiderKernelWithAntialias) {
  for (const auto& [to, from] : {std::pair{3, 7}, {7, 3}, {5, 5}, {1, 4}, {4, 1}, {6, 16}}) {
    SCOPED_TRACE(fmt::format("{} to {}", from, to));
    Graph graph;
    const Value size = graph.input("size", {DType::f32, {Dim::symbol("length")}});
    const Value matrix = nn::resampling_matrix(graph, size.dim(0), from, "antialiased cubic");
    expect_close(run(graph, matrix, {{"size", Tensor(DType::f32, {to})}}), antialiased(to, from), 1e-6);
  }
}

// ---- ImageTokens ----

TEST(ImageTokens, MayHaveLearnedTokensWithoutPositions) {
  constexpr std::int64_t width = 3;
  Stored stored;
  stored.add("projection.weight", {width, 1, 2, 2});
  stored.add("projection.bias", {width});
  const Reals cls = stored.add("cls", {1, 1, width}), registers = stored.add("registers", {1, 2, width});
  const Reals positions = stored.add("position_embeddings", {1, 1 + 4, width});
  nn::ImageTokensParameters p{.channels = 1, .hidden_size = width, .patch = {2, 2}, .grid = {2, 2}};
  p.projection = "projection";
  p.before = {{"cls"}, {"registers", 2, false}, {"none", 0, false}};
  Graph graph;
  const Value image = graph.weight(Weight::from_doubles(DType::f32, {1, 1, 4, 4}, values(16, 1)));
  const Value tokens = nn::ImageTokens(stored.scope(), p)(image);
  EXPECT_EQ(tokens.shape(), (Shape{1, 3 + 4, width}));
  Reals expected = cls;
  for (std::int64_t i = 0; i < width; ++i) expected[static_cast<std::size_t>(i)] += at(positions, i);
  expected.insert(expected.end(), registers.begin(), registers.end());
  Reals got = run(graph, tokens);
  got.resize(expected.size());
  expect_close(got, expected, 1e-6);
}

// ---- VideoPatches ----

TEST(VideoPatches, AreAConvolutionOverFramesRowsAndColumns) {
  constexpr std::int64_t batch = 2, frames = 5, channels = 3, height = 4, width = 7, out = 2;
  constexpr std::int64_t deep = 2, high = 2, wide = 3;  // of a patch; a frame and a column are left over
  Stored stored;
  const Reals weight = stored.add("proj.weight", {out, channels, deep, high, wide});
  const Reals bias = stored.add("proj.bias", {out});
  const nn::VideoPatches patches(
      stored.scope() / "proj",
      {.channels = channels, .hidden_size = out, .frames = deep, .patch = {high, wide}});
  const Dims shape = {batch, frames, channels, height, width};
  const Reals video = values(product(shape), 9);
  Reals expected;
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t t = 0; t < frames / deep; ++t) {
      for (std::int64_t y = 0; y < height / high; ++y) {
        for (std::int64_t x = 0; x < width / wide; ++x) {
          for (std::int64_t o = 0; o < out; ++o) {
            double sum = at(bias, o);
            for (std::int64_t k = 0; k < channels * deep * high * wide; ++k) {
              const std::int64_t c = k / (deep * high * wide), d = k / (high * wide) % deep;
              const std::int64_t h = k / wide % high, w = k % wide;
              const std::int64_t frame = (b * frames + t * deep + d) * channels + c;
              const std::int64_t row = frame * height + y * high + h;
              sum +=
                  at(weight, o * channels * deep * high * wide + k) * at(video, row * width + x * wide + w);
            }
            expected.push_back(sum);
          }
        }
      }
    }
  }
  for (const bool dynamic : {false, true}) {
    Graph graph;
    const Dim length = dynamic ? Dim::symbol("frames") : Dim(frames);
    const Value input = graph.input("video", {DType::f32, {batch, length, channels, height, width}});
    const Value tokens = patches(input);
    EXPECT_EQ(tokens.dim(1), length.floor_div(deep) * 4);
    expect_close(run(graph, tokens, {{"video", Tensor::from_doubles(DType::f32, shape, video)}}), expected,
                 1e-5);
  }
}

// ---- rotated encoders ----

TEST(GridAngles, AreThoseOfTheRowThenOfTheColumn) {
  constexpr std::int64_t rows = 3, columns = 2, width = 2;
  Graph graph;
  const Reals down = values(rows * width, 1), across = values(columns * width, 5);
  const Value angles =
      nn::grid_angles(graph.weight(Weight::from_doubles(DType::f32, {rows, width}, down)),
                      graph.weight(Weight::from_doubles(DType::f32, {columns, width}, across)));
  EXPECT_EQ(angles.shape(), (Shape{1, rows * columns, 2 * width}));
  Reals expected;
  for (std::int64_t y = 0; y < rows; ++y) {
    for (std::int64_t x = 0; x < columns; ++x) {
      for (std::int64_t i = 0; i < width; ++i) expected.push_back(at(down, y * width + i));
      for (std::int64_t i = 0; i < width; ++i) expected.push_back(at(across, x * width + i));
    }
  }
  expect_close(run(graph, angles), expected, 1e-6);
}

TEST(Rotation, TurnsElementsWithTheirHalf) {
  constexpr std::int64_t tokens = 3, heads = 2, half = 2, head = 2 * half;
  Graph graph;
  const Reals angles = values(tokens * half, 2), x = values(tokens * heads * head, 4);
  const Value turned =
      nn::rotation(graph.weight_as_is(Weight::from_doubles(DType::f32, {1, tokens, half}, angles)),
                   heads)(graph.weight(Weight::from_doubles(DType::f32, {1, tokens, heads * head}, x)));
  Reals expected(x.size());
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t i = 0; i < half; ++i) {
        const std::int64_t first = (t * heads + h) * head + i, second = first + half;
        const double c = std::cos(at(angles, t * half + i)), s = std::sin(at(angles, t * half + i));
        expected[static_cast<std::size_t>(first)] = at(x, first) * c - at(x, second) * s;
        expected[static_cast<std::size_t>(second)] = at(x, second) * c + at(x, first) * s;
      }
    }
  }
  expect_close(run(graph, turned), expected, 1e-6);
}

TEST(RotatedLayer, WithoutARotationIsALayerOfPreNormEncoder) {
  constexpr std::int64_t width = 4, inner = 5, tokens = 3;
  Stored stored;
  nn::EncoderLayerParameters p{.attention = {.hidden_size = width, .heads = 2}, .intermediate_size = inner};
  const auto linear = [&](const std::string& key, std::int64_t out, std::int64_t in) {
    stored.add("layer." + key + ".weight", {out, in});
    stored.add("layer." + key + ".bias", {out});
  };
  for (const char* key : {"self.query", "self.key", "self.value", "output.dense"})
    linear(std::string("attention.") + key, width, width);
  linear("intermediate.dense", inner, width);
  linear("output.dense", width, inner);
  for (const std::string& key : {p.attention_norm, p.output_norm}) {
    stored.add("layer." + key + ".weight", {width});
    stored.add("layer." + key + ".bias", {width});
  }
  const Scope s = stored.scope() / "layer";
  Graph graph;
  const Value x =
      graph.weight(Weight::from_doubles(DType::f32, {1, tokens, width}, values(tokens * width, 8)));
  const Value plain = nn::PreNormEncoderLayer(s, p)(x);
  const auto twice = [](Value q) { return op::mul(q, 2.0); };
  const Value same = nn::rotated_layer(s, p, x, [](Value q) { return q; });
  const Value turned = nn::rotated_layer(s, p, x, twice);
  graph.output("plain", plain);
  graph.output("same", same);
  graph.output("turned", turned);
  const auto outputs = reference::interpret(graph, {reference::Case{}})[0];
  expect_close(outputs[1].reals, outputs[0].reals);
  EXPECT_NE(outputs[2].reals, outputs[0].reals);
}

TEST(PreNormResidual, ScalesTheBranch) {
  Graph graph;
  const Value x = graph.weight(Weight::from_doubles(DType::f64, {2}, Reals{3, 5}));
  const auto norm = [](Value y) { return op::add(y, 1.0); };
  const auto branch = [](Value y) { return op::mul(y, 10.0); };
  const Weight scale = Weight::from_doubles(DType::f64, {2}, Reals{2, -1});
  expect_close(run(graph, nn::pre_norm_residual(x, norm, branch, scale)), {3 + 80, 5 - 60});
  Graph plain;
  const Value y = plain.weight(Weight::from_doubles(DType::f64, {1}, Reals{3}));
  expect_close(run(plain, nn::pre_norm_residual(y, norm, branch)), {3 + 40});
}

}  // namespace
}  // namespace onnxport
