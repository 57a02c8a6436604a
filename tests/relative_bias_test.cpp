// The bias of relative positions, against the count of thresholds that each distance reaches.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/nn/attention.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

constexpr std::int64_t kRows = 16, kLength = 5, kPast = 40;

struct Built {
  Graph graph{DType::f64};
  Value bias;

  explicit Built(const nn::RelativeBiasParameters& p) {
    std::vector<double> rows;
    for (std::int64_t i = 0; i < kRows; ++i) rows.push_back(static_cast<double>(i));  // a row is its bucket
    const std::vector<StoredTensor> tensors = {
        {{.key = "weight", .dtype = DType::f64, .shape = {kRows, 1}},
         Weight::from_doubles(DType::f64, {kRows, 1}, rows, "weight")}};
    const Scope scope(std::make_shared<const Checkpoint>(tensors, "test"), std::make_shared<KeyAccounting>(),
                      "");
    graph.input("x", {DType::f64, {1}});
    bias = nn::RelativeBias(scope, p)(graph, kLength, kPast);
  }
  std::vector<double> run() {
    graph.output("y", bias);
    const std::vector<double> zero = {0.0};
    const Tensor unread = Tensor::from_doubles(DType::f64, {1}, zero);
    return reference::interpret(graph, {{{"x", unread}}})[0].back().reals;
  }
};

std::vector<double> counted(std::int64_t buckets, std::int64_t farthest, bool both_ways) {
  const std::int64_t side = both_ways ? buckets / 2 : buckets;
  const std::vector<std::int64_t> thresholds = nn::relative_bucket_thresholds(side, farthest);
  std::vector<double> expected;
  for (std::int64_t query = kPast; query < kPast + kLength; ++query) {
    for (std::int64_t key = 0; key < kPast + kLength; ++key) {
      const std::int64_t distance =
          both_ways ? std::abs(key - query) : std::max<std::int64_t>(query - key, 0);
      const auto reached = std::ranges::count_if(thresholds, [&](std::int64_t t) { return distance >= t; });
      expected.push_back(static_cast<double>(reached + (both_ways && key > query ? side : 0)));
    }
  }
  return expected;
}

TEST(RelativeBias, HasTheBucketOfEveryDistance) {
  for (const bool both_ways : {false, true}) {
    for (const std::int64_t buckets : {2, 4, 8, 16}) {
      for (const std::int64_t farthest : {9, 20, 100}) {
        Built built({.heads = 1,
                     .rows = kRows,
                     .buckets = buckets,
                     .max_distance = farthest,
                     .both_ways = both_ways});
        EXPECT_EQ(built.run(), counted(buckets, farthest, both_ways)) << buckets << " to " << farthest;
      }
    }
  }
}

// A value for each threshold too would make a tenth of WavLM's time.
TEST(RelativeBias, HasNoValueForEveryThreshold) {
  const Built built({.heads = 1, .rows = kRows, .buckets = 16, .max_distance = 100});
  for (const Node& node : built.graph.nodes()) {
    for (const TensorType& type : node.outputs) {
      std::int64_t count = 1;
      for (const Dim& dim : type.shape) count *= dim.constant().value();
      EXPECT_LE(count, kLength * (kPast + kLength)) << to_string(type);
    }
  }
}

}  // namespace
}  // namespace onnxport::test
