// Deformable attention, against a plain loop over queries, heads, maps and points.
#include "onnxport/nn/deformable_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Row = std::vector<double>;

constexpr std::int64_t kBatch = 2, kQueries = 3, kHeads = 2, kDim = 2, kWidth = kHeads * kDim;
const std::vector<std::int64_t> kPoints = {1, 3}, kRows = {2, 3}, kColumns = {3, 1};
constexpr std::int64_t kPixels = 2 * 3 + 3 * 1, kAll = 4;

// Multiples of 1/32, which float32 holds exactly.
Row numbers(std::int64_t count, int seed, double scale) {
  Row made;
  for (std::int64_t i = 0; i < count; ++i)
    made.push_back(scale * static_cast<double>((i * 11 + seed * 7) % 37 - 18) / 32);
  return made;
}

double at(const Row& values, std::int64_t i) { return values[static_cast<std::size_t>(i)]; }

struct Plain {
  Row value = numbers(kBatch * kPixels * kWidth, 1, 1);
  Row places = numbers(kBatch * kQueries * kHeads * kAll * 2, 2, 2);  // -1.125 … 1.125
  Row weights = numbers(kBatch * kQueries * kHeads * kAll, 3, 1);

  // One channel of a pixel; zero outside of the map.
  double pixel(std::int64_t b, std::size_t map, std::int64_t row, std::int64_t column, std::int64_t k) const {
    if (row < 0 || column < 0 || row >= kRows[map] || column >= kColumns[map]) return 0;
    const std::int64_t first = map == 0 ? 0 : kRows[0] * kColumns[0];
    return at(value, (b * kPixels + first + row * kColumns[map] + column) * kWidth + k);
  }

  double read(std::int64_t b, std::size_t map, double x, double y, std::int64_t k,
              nn::PlaceReading how) const {
    const auto columns = static_cast<double>(kColumns[map]), rows = static_cast<double>(kRows[map]);
    if (how == nn::PlaceReading::nearest) {
      const double column = std::clamp(std::floor(x * columns + 0.5), 0.0, columns - 1);
      const double row = std::clamp(std::floor(y * rows + 0.5), 0.0, rows - 1);
      return pixel(b, map, static_cast<std::int64_t>(row), static_cast<std::int64_t>(column), k);
    }
    const double u = x * columns - 0.5, v = y * rows - 0.5;
    double sum = 0;
    for (std::int64_t row = -3; row < 6; ++row) {
      for (std::int64_t column = -3; column < 6; ++column) {
        const double near = std::max(0.0, 1 - std::abs(u - static_cast<double>(column))) *
                            std::max(0.0, 1 - std::abs(v - static_cast<double>(row)));
        sum += near * pixel(b, map, row, column, k);
      }
    }
    return sum;
  }

  Row sums(nn::PlaceReading how) const {
    Row result;
    for (std::int64_t b = 0; b < kBatch; ++b) {
      for (std::int64_t q = 0; q < kQueries; ++q) {
        for (std::int64_t k = 0; k < kWidth; ++k) {
          const std::int64_t head = (b * kQueries + q) * kHeads + k / kDim;
          double sum = 0;
          for (std::int64_t n = 0; n < kAll; ++n) {
            const std::int64_t point = head * kAll + n;
            sum += at(weights, point) *
                   read(b, n < kPoints[0] ? 0 : 1, at(places, 2 * point), at(places, 2 * point + 1), k, how);
          }
          result.push_back(sum);
        }
      }
    }
    return result;
  }
};

// The same places and weights from a layer's parameters: reference 2 or 4 wide, one per query or per map.
struct Layer {
  Row query = numbers(kBatch * kQueries * kWidth, 4, 1);
  Row offsets = numbers(kHeads * kAll * 2 * kWidth, 5, 1), shift = numbers(kHeads * kAll * 2, 6, 1);
  Row scores = numbers(kHeads * kAll * kWidth, 7, 1), level = numbers(kHeads * kAll, 8, 1);

  double linear(const Row& weight, const Row& bias, std::int64_t row, std::int64_t out) const {
    double sum = at(bias, out);
    for (std::int64_t i = 0; i < kWidth; ++i)
      sum += at(weight, out * kWidth + i) * at(query, row * kWidth + i);
    return sum;
  }

  void place(Plain& plain, const Row& reference, std::int64_t maps, std::int64_t wide) const {
    for (std::int64_t row = 0; row < kBatch * kQueries; ++row) {
      for (std::int64_t head = 0; head < kHeads; ++head) {
        double total = 0;
        for (std::int64_t n = 0; n < kAll; ++n)
          total += std::exp(linear(scores, level, row, head * kAll + n));
        for (std::int64_t n = 0; n < kAll; ++n) {
          const std::int64_t map = n < kPoints[0] ? 0 : 1, point = (row * kHeads + head) * kAll + n;
          const std::int64_t from = (row * maps + (maps == 1 ? 0 : map)) * wide;
          plain.weights[static_cast<std::size_t>(point)] =
              std::exp(linear(scores, level, row, head * kAll + n)) / total;
          for (std::int64_t axis = 0; axis < 2; ++axis) {
            const auto m = static_cast<std::size_t>(map);
            const double pixels = static_cast<double>(axis == 0 ? kColumns[m] : kRows[m]);
            const double step = wide == 2
                                    ? 1 / pixels
                                    : 0.25 / static_cast<double>(kPoints[m]) * at(reference, from + 2 + axis);
            plain.places[static_cast<std::size_t>(2 * point + axis)] =
                at(reference, from + axis) + step * linear(offsets, shift, row, 2 * (head * kAll + n) + axis);
          }
        }
      }
    }
  }
};

Tensor floats(const std::vector<std::int64_t>& shape, const Row& values) {
  return Tensor::from_doubles(DType::f32, shape, values);
}

Scope stored(const Layer& layer) {
  std::vector<StoredTensor> tensors;
  const auto add = [&](const std::string& key, const std::vector<std::int64_t>& shape, const Row& values) {
    tensors.push_back({{.key = key, .dtype = DType::f32, .shape = shape},
                       Weight::from_doubles(DType::f32, shape, values, key)});
  };
  add("attn.sampling_offsets.weight", {kHeads * kAll * 2, kWidth}, layer.offsets);
  add("attn.sampling_offsets.bias", {kHeads * kAll * 2}, layer.shift);
  add("attn.attention_weights.weight", {kHeads * kAll, kWidth}, layer.scores);
  add("attn.attention_weights.bias", {kHeads * kAll}, layer.level);
  Row identity;
  for (std::int64_t i = 0; i < kWidth * kWidth; ++i) identity.push_back(i % (kWidth + 1) == 0 ? 1 : 0);
  add("attn.value_proj.weight", {kWidth, kWidth}, identity);
  add("attn.value_proj.bias", {kWidth}, Row(kWidth, 1));
  add("attn.output_proj.weight", {kWidth, kWidth}, identity);
  add("attn.output_proj.bias", {kWidth}, Row(kWidth, 2));
  return {std::make_shared<const Checkpoint>(std::move(tensors), "test"), std::make_shared<KeyAccounting>(),
          "attn"};
}

void expect_close(const Row& got, const Row& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-6) << "element " << i;
}

const std::vector<nn::MapSize> kSizes = {{kRows[0], kColumns[0]}, {kRows[1], kColumns[1]}};

TEST(DeformableAttention, SumsValuesAtPlaces) {
  for (const nn::PlaceReading how : {nn::PlaceReading::bilinear, nn::PlaceReading::nearest}) {
    const Plain plain;
    Graph graph;
    const Value value = graph.input("value", {DType::f32, {kBatch, kPixels, kWidth}});
    const Value places = graph.input("places", {DType::f32, {kBatch, kQueries, kHeads, kAll, 2}});
    const Value weights = graph.input("weights", {DType::f32, {kBatch, kQueries, kHeads, kAll}});
    graph.output("y", nn::sum_at_places(value, kSizes, kPoints, places, weights, how));
    const reference::Case inputs = {{"value", floats({kBatch, kPixels, kWidth}, plain.value)},
                                    {"places", floats({kBatch, kQueries, kHeads, kAll, 2}, plain.places)},
                                    {"weights", floats({kBatch, kQueries, kHeads, kAll}, plain.weights)}};
    expect_close(reference::interpret(graph, {inputs})[0][0].reals, plain.sums(how));
  }
}

TEST(DeformableAttention, PlacesPointsAroundReferences) {
  const Layer layer;
  for (const std::int64_t maps : {1, 2}) {
    for (const std::int64_t wide : {2, 4}) {
      const Row reference = numbers(kBatch * kQueries * maps * wide, 9, 1);
      Plain plain;
      layer.place(plain, reference, maps, wide);
      Graph graph;
      const Value query = graph.input("query", {DType::f32, {kBatch, kQueries, kWidth}});
      const Value where = graph.input("reference", {DType::f32, {kBatch, kQueries, maps, wide}});
      const Value value = graph.input("value", {DType::f32, {kBatch, kPixels, kWidth}});
      const nn::DeformableSampling sampling(
          stored(layer), {.width = kWidth, .heads = kHeads, .points = kPoints, .offset_scale = 0.25});
      graph.output("y", sampling(query, where, value, kSizes));
      const reference::Case inputs = {{"query", floats({kBatch, kQueries, kWidth}, layer.query)},
                                      {"reference", floats({kBatch, kQueries, maps, wide}, reference)},
                                      {"value", floats({kBatch, kPixels, kWidth}, plain.value)}};
      expect_close(reference::interpret(graph, {inputs})[0][0].reals, plain.sums(nn::PlaceReading::bilinear));
    }
  }
}

TEST(DeformableAttention, HidesPixels) {
  const Layer layer;
  const Row reference = numbers(kBatch * kQueries * 2, 9, 1);
  Row memory = numbers(kBatch * kPixels * kWidth, 1, 1), seen;
  Plain plain;
  for (std::int64_t i = 0; i < kBatch * kPixels; ++i) {
    seen.push_back(i % 4 == 0 ? 0 : 1);
    for (std::int64_t k = 0; k < kWidth; ++k) {
      const auto element = static_cast<std::size_t>(i * kWidth + k);
      plain.value[element] = seen.back() * (memory[element] + 1);
    }
  }
  layer.place(plain, reference, 1, 2);
  Graph graph;
  const Value query = graph.input("query", {DType::f32, {kBatch, kQueries, kWidth}});
  const Value where = graph.input("reference", {DType::f32, {kBatch, kQueries, 1, 2}});
  const Value keys = graph.input("memory", {DType::f32, {kBatch, kPixels, kWidth}});
  const Value mask = graph.input("seen", {DType::boolean, {kBatch, kPixels}});
  const nn::DeformableAttention attention(stored(layer),
                                          {.width = kWidth, .heads = kHeads, .points = kPoints});
  graph.output("y", attention(query, where, keys, kSizes, mask));
  const reference::Case inputs = {
      {"query", floats({kBatch, kQueries, kWidth}, layer.query)},
      {"reference", floats({kBatch, kQueries, 1, 2}, reference)},
      {"memory", floats({kBatch, kPixels, kWidth}, memory)},
      {"seen", Tensor::from_ints(DType::boolean, {kBatch, kPixels},
                                 std::vector<std::int64_t>(seen.begin(), seen.end()))}};
  Row expected = plain.sums(nn::PlaceReading::bilinear);
  for (double& element : expected) element += 2;
  expect_close(reference::interpret(graph, {inputs})[0][0].reals, expected);
}

TEST(DeformableAttention, RefusesSizesThatDoNotFit) {
  const Scope scope = stored({});
  for (const nn::DeformableParameters& p : {nn::DeformableParameters{.width = 4, .heads = 3, .points = {1}},
                                            {.width = 4, .heads = 0, .points = {1}},
                                            {.width = 4, .heads = 2, .points = {2, 0}},
                                            {.width = 4, .heads = 2, .points = {}}}) {
    EXPECT_NE(
        error_of([&] { nn::DeformableSampling(scope, p); }, ErrorCode::bad_config).find("attn: width 4"),
        std::string::npos);
  }
}

}  // namespace
}  // namespace onnxport::test
