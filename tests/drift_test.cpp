// The distance of a quantized model from the original: which values count.
#include <gtest/gtest.h>

#include <vector>

#include "onnxport/interface.h"
#include "validate/drift.h"

namespace onnxport {
namespace {

Tensor floats(const std::vector<std::int64_t>& shape, const std::vector<double>& values) {
  return Tensor::from_doubles(DType::f32, shape, values);
}

Interface with_tokens() {
  const std::map<int, AxisSpec> axes = {{0, {.name = "batch_size"}}, {1, {.name = "sequence_length"}}};
  Interface interface;
  interface.inputs = {{.name = "input_ids", .dtype = DType::i64, .axes = axes}};
  interface.outputs = {{.name = "logits", .axes = axes}, {.name = "pooled", .axes = {{0, axes.at(0)}}}};
  return interface;
}

double cosine_of(const std::string& output, const std::vector<std::int64_t>& shape,
                 const std::vector<double>& got, const std::vector<double>& original,
                 const NamedTensors& inputs) {
  validate::DriftMeter meter(0.95);
  meter.add({{output, floats(shape, got)}}, {{output, floats(shape, original)}},
            validate::VisibleTokens(with_tokens(), inputs));
  return meter.result().at(0).cosine;
}

TEST(Drift, LeavesOutTokensThatTheMaskHides) {
  const NamedTensors inputs = {
      {"attention_mask", Tensor::from_ints(DType::i64, {2, 2}, std::vector<std::int64_t>{1, 1, 0, 1})}};
  const std::vector<double> original = {1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_NEAR(cosine_of("logits", {2, 2, 2}, {1, 2, 3, 4, -50, 60, 7, 8}, original, inputs), 1, 1e-12);
  EXPECT_LT(cosine_of("logits", {2, 2, 2}, {1, 2, -50, 60, 5, 6, 7, 8}, original, inputs), 0.95);
  EXPECT_LT(cosine_of("logits", {2, 2, 2}, {1, 2, 3, 4, -50, 60, 7, 8}, original, {}), 0.95);
}

TEST(Drift, TheMaskBeginsWithThePast) {
  const NamedTensors inputs = {
      {"attention_mask", Tensor::from_ints(DType::i64, {1, 4}, std::vector<std::int64_t>{1, 1, 0, 1})}};
  EXPECT_NEAR(cosine_of("logits", {1, 2, 1}, {-50, 2}, {1, 2}, inputs), 1, 1e-12);
  EXPECT_LT(cosine_of("logits", {1, 2, 1}, {1, -2}, {1, 2}, inputs), 0.95);
}

TEST(Drift, OutputsWithoutTokensCountWhole) {
  const NamedTensors inputs = {
      {"attention_mask", Tensor::from_ints(DType::i64, {1, 2}, std::vector<std::int64_t>{0, 1})}};
  EXPECT_LT(cosine_of("pooled", {1, 2}, {-50, 2}, {1, 2}, inputs), 0.95);
}

}  // namespace
}  // namespace onnxport
