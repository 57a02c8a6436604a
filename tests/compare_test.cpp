// The comparison that judges every export: its rule, value by value, and the reports that are made with it.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "onnxport/validate.h"

namespace onnxport::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kLowest = std::numeric_limits<float>::lowest();
constexpr double kAtol = 1e-3;

Tensor floats(const std::vector<double>& values, DType dtype = DType::f32) {
  return Tensor::from_doubles(dtype, {static_cast<std::int64_t>(values.size())}, values);
}

Tensor integers(const std::vector<std::int64_t>& values, DType dtype = DType::i64) {
  return Tensor::from_ints(dtype, {static_cast<std::int64_t>(values.size())}, values);
}

OutputComparison compare(const Tensor& got, const Tensor& reference, double atol = kAtol) {
  return compare_outputs("y", got, reference, atol);
}

// NaN and infinities are allowed.
bool agree(const std::vector<double>& got, const std::vector<double>& reference) {
  return compare_outputs("y", floats(got), floats(reference), kAtol, NonFinite::allow).passed;
}

TEST(CompareOutputs, SaysWhatItCompared) {
  const OutputComparison same = compare_outputs("logits", floats({1, 2}), floats({1, 2}), kAtol);
  EXPECT_EQ(same.name, "logits");
  EXPECT_EQ(same.shape, std::vector<std::int64_t>{2});
  EXPECT_EQ(same.reference_shape, std::vector<std::int64_t>{2});
  EXPECT_EQ(same.max_difference, 0);
  EXPECT_TRUE(same.passed);
  const OutputComparison other = compare(floats({1, -2, 8}), floats({1, -2.5, 8.25}));
  EXPECT_EQ(other.max_difference, 0.5);
  EXPECT_FALSE(other.passed);
}

TEST(CompareOutputs, ToleranceIsAbsoluteBelowOneAndRelativeToTheLargestAbove) {
  EXPECT_EQ(compare(floats({0.5}), floats({0.5}), 0.125).tolerance, 0.125);
  EXPECT_EQ(compare(floats({1, -4}), floats({1, -4}), 0.125).tolerance, 0.5);
  // Of the reference, not of the result.
  EXPECT_EQ(compare(floats({100}), floats({2}), 0.125).tolerance, 0.25);
}

TEST(CompareOutputs, TheEdgeOfTheTolerancePasses) {
  const auto passes = [](double got, double reference) {
    return compare(floats({got, 0}), floats({reference, 0}), 0.25).passed;
  };
  EXPECT_TRUE(passes(0.25, 0));
  EXPECT_TRUE(passes(-0.25, 0));
  EXPECT_FALSE(passes(std::nextafter(0.25F, 1.0F), 0));
  EXPECT_TRUE(passes(5, 4));
  EXPECT_FALSE(passes(std::nextafter(5.0F, 6.0F), 4));
  EXPECT_TRUE(compare(floats({1}), floats({1}), 0).passed);
  EXPECT_FALSE(compare(floats({1.5}), floats({1}), 0).passed);
}

TEST(CompareOutputs, OneValueFailsTheWholeTensor) {
  std::vector<double> got(1000, 1);
  EXPECT_TRUE(agree(got, std::vector<double>(1000, 1)));
  got[999] = 1.1;
  EXPECT_FALSE(agree(got, std::vector<double>(1000, 1)));
}

TEST(CompareOutputs, NanMeetsNanAlone) {
  EXPECT_TRUE(agree({kNan, 1}, {kNan, 1}));
  EXPECT_FALSE(agree({kNan, 1}, {0, 1}));
  EXPECT_FALSE(agree({0, 1}, {kNan, 1}));
  EXPECT_FALSE(agree({kNan, 2}, {kNan, 1}));
  for (const double value : {kInf, -kInf, kLowest, 1e9}) {
    EXPECT_FALSE(agree({kNan}, {value})) << value;
    EXPECT_FALSE(agree({value}, {kNan})) << value;
  }
}

TEST(CompareOutputs, InfinitiesAreEqual) {
  EXPECT_TRUE(agree({kInf, -kInf, 1}, {kInf, -kInf, 1}));
  for (const double value : {0.0, 1.0, 1e9, -1e9, -kLowest, kLowest, -kInf}) {
    EXPECT_FALSE(agree({value}, {kInf})) << value;
    EXPECT_FALSE(agree({kInf}, {value})) << value;
  }
  for (const double value : {0.0, -1.0, kLowest, kInf}) {
    EXPECT_FALSE(agree({value}, {-kInf})) << value;
    EXPECT_FALSE(agree({-kInf}, {value})) << value;
  }
}

TEST(CompareOutputs, NonFiniteValuesAreCountedAndFailUnlessAllowed) {
  struct Row {
    std::vector<double> got, reference;
    std::int64_t count, reference_count;
    bool allowed;
  };
  const std::vector<Row> rows = {
      {{1, 2}, {1, 2}, 0, 0, true},
      {{kNan, 1}, {kNan, 1}, 1, 1, true},
      {{kInf, -kInf}, {kInf, -kInf}, 2, 2, true},
      {{kNan, 1}, {0, 1}, 1, 0, false},
      {{0, 1}, {kNan, 1}, 0, 1, false},
      {{kInf, 1}, {kNan, 1}, 1, 1, false},
      {{kNan, 1}, {1, kNan}, 1, 1, false},
      {{-kInf, kNan, 1}, {-kInf, kNan, 1}, 2, 2, true},
  };
  for (const Row& row : rows) {
    const auto of = [&](NonFinite rule) {
      return compare_outputs("y", floats(row.got), floats(row.reference), kAtol, rule);
    };
    EXPECT_EQ(of(NonFinite::fail).passed, row.count + row.reference_count == 0);
    EXPECT_EQ(of(NonFinite::allow).passed, row.allowed);
    EXPECT_EQ(of(NonFinite::fail).non_finite, row.count);
    EXPECT_EQ(of(NonFinite::allow).reference_non_finite, row.reference_count);
    EXPECT_FALSE(std::isnan(of(NonFinite::fail).max_difference));
  }
}

TEST(CompareOutputs, SentinelsAgreeToOnePercent) {
  EXPECT_TRUE(agree({kLowest}, {kLowest}));
  EXPECT_TRUE(agree({0.995 * kLowest}, {kLowest}));
  EXPECT_FALSE(agree({0.98 * kLowest}, {kLowest}));
  EXPECT_TRUE(agree({-1.005e9}, {-1e9}));
  EXPECT_FALSE(agree({-1.02e9}, {-1e9}));
  EXPECT_FALSE(agree({1e9}, {-1e9}));
  EXPECT_FALSE(agree({0}, {1e6}));
  // Below a million the tolerance is that of all values.
  EXPECT_TRUE(agree({999'999 * (1 + 0.9e-3)}, {999'999}));
  EXPECT_FALSE(agree({999'999 * (1 + 5e-3)}, {999'999}));
}

TEST(CompareOutputs, SentinelsDoNotWidenTheTolerance) {
  const OutputComparison result = compare(floats({-1e9, -kInf, 1.5}), floats({-1e9, -kInf, 1}));
  EXPECT_FALSE(result.passed);
  EXPECT_EQ(result.max_difference, 0.5);
  EXPECT_EQ(result.tolerance, kAtol);
  // A result that is far too large is no sentinel: the reference decides.
  EXPECT_FALSE(agree({1e9}, {1}));
}

TEST(CompareOutputs, ShapesMustBeEqual) {
  const std::vector<double> six(6);
  const Tensor reference = Tensor::from_doubles(DType::f32, {2, 3}, six);
  for (const std::vector<std::int64_t>& shape :
       {std::vector<std::int64_t>{3, 2}, {6}, {2, 3, 1}, {1, 2, 3}, {1, 6}}) {
    const OutputComparison result = compare(Tensor::from_doubles(DType::f32, shape, six), reference);
    EXPECT_FALSE(result.passed);
    EXPECT_EQ(result.shape, shape);
    EXPECT_EQ(result.reference_shape, (std::vector<std::int64_t>{2, 3}));
  }
  EXPECT_FALSE(compare(Tensor(DType::f32, {0}), Tensor(DType::f32, {1})).passed);
  EXPECT_FALSE(compare(Tensor(DType::f32, {}), Tensor(DType::f32, {1})).passed);
  EXPECT_FALSE(compare(Tensor(DType::f32, {0, 3}), Tensor(DType::f32, {3, 0})).passed);
}

TEST(CompareOutputs, EmptyTensorsAndScalars) {
  const OutputComparison empty = compare(Tensor(DType::f32, {2, 0, 4}), Tensor(DType::f32, {2, 0, 4}));
  EXPECT_TRUE(empty.passed);
  EXPECT_EQ(empty.max_difference, 0);
  EXPECT_TRUE(compare(Tensor(DType::i64, {0}), Tensor(DType::i64, {0})).passed);
  const auto scalar = [](double value) { return Tensor::from_doubles(DType::f32, {}, {{value}}); };
  EXPECT_TRUE(compare(scalar(3), scalar(3)).passed);
  EXPECT_FALSE(compare(scalar(3), scalar(3.5)).passed);
}

TEST(CompareOutputs, FloatsOfEveryWidth) {
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32, DType::f64}) {
    EXPECT_TRUE(compare(floats({1, -2, 3}, dtype), floats({1, -2, 3}, dtype)).passed) << to_string(dtype);
    EXPECT_FALSE(compare(floats({1, -2}, dtype), floats({1, -2.5}, dtype)).passed) << to_string(dtype);
  }
  // Values are compared, not bits: references are often recorded in another precision.
  EXPECT_TRUE(compare(floats({1, 0.5}, DType::f16), floats({1, 0.5}, DType::f32)).passed);
  EXPECT_FALSE(compare(floats({1, 0.5}, DType::f16), floats({1, 0.625}, DType::f32)).passed);
  // Of half precision the lowest finite value is no sentinel.
  EXPECT_FALSE(compare(floats({-65504}, DType::f16), floats({-65000}, DType::f32)).passed);
}

TEST(CompareOutputs, IntegersAreEqual) {
  const OutputComparison off_by_one = compare(integers({7, 900'001}), integers({7, 900'000}), 0.5);
  EXPECT_FALSE(off_by_one.passed);  // half a million would be allowed
  EXPECT_EQ(off_by_one.max_difference, 1);
  EXPECT_EQ(off_by_one.tolerance, 0);
  EXPECT_FALSE(compare(integers({2'000'001}), integers({2'000'000})).passed);  // no sentinel
  const std::int64_t large = std::int64_t{1} << 60;                            // doubles lie 256 apart here
  EXPECT_FALSE(compare(integers({large + 1}), integers({large})).passed);
  for (const DType dtype : {DType::i64, DType::i32, DType::i8, DType::u8}) {
    EXPECT_TRUE(compare(integers({0, 100}, dtype), integers({0, 100}, dtype)).passed) << to_string(dtype);
    EXPECT_FALSE(compare(integers({0, 100}, dtype), integers({0, 101}, dtype)).passed) << to_string(dtype);
  }
  EXPECT_TRUE(compare(integers({1, 0}, DType::boolean), integers({1, 0}, DType::boolean)).passed);
  EXPECT_FALSE(compare(integers({1, 0}, DType::boolean), integers({1, 1}, DType::boolean)).passed);
}

TEST(CompareOutputs, IntegersOfAnotherTypeAreComparedByValue) {
  EXPECT_TRUE(compare(integers({5, -6}, DType::i32), integers({5, -6}, DType::i64)).passed);
  EXPECT_FALSE(compare(integers({5, -6}, DType::i32), integers({5, 6}, DType::i64)).passed);
  EXPECT_TRUE(compare(floats({5, -6}), integers({5, -6})).passed);
  EXPECT_FALSE(compare(floats({5.25, -6}), integers({5, -6})).passed);
  EXPECT_FALSE(compare(floats({kNan, -6}), integers({0, -6})).passed);
}

// ---- reports ----

ValidationReport report_of(const std::vector<bool>& outputs) {
  ValidationReport report;
  for (const bool passed : outputs) report.cases.push_back({"case", {{"y", {2}, {2}, 0, kAtol, passed}}});
  return report;
}

TEST(ValidationReport, PassesWhenEveryOutputOfEveryCaseDoes) {
  EXPECT_TRUE(report_of({true, true}).passed());
  EXPECT_FALSE(report_of({true, false}).passed());
  EXPECT_FALSE(report_of({}).passed()) << "nothing was compared";
  ValidationReport report = report_of({true});
  report.problems.emplace_back("inputs are (a), expected (b)");
  EXPECT_FALSE(report.passed());
}

TEST(ValidationReport, NamesWhatDiffers) {
  ValidationReport report = report_of({true, false});
  report.cases[1].outputs.push_back({"z", {3, 2}, {2, 3}, 0, kAtol, false});
  report.problems.emplace_back("outputs are (y), expected (y, z)");
  const std::string text = to_string(report);
  EXPECT_NE(text.find("-[x] outputs are (y), expected (y, z)"), std::string::npos) << text;
  EXPECT_NE(text.find("-[✓] all values close"), std::string::npos) << text;
  EXPECT_NE(text.find("-[x] values not close enough"), std::string::npos) << text;
  EXPECT_NE(text.find("-[x] (3, 2) does not match (2, 3)"), std::string::npos) << text;
}

TEST(ValidationReport, SaysHowManyValuesAreNotFinite) {
  ValidationReport report = report_of({});
  report.cases.push_back({"case", {compare(floats({kNan, kInf, 1}), floats({kNan, kInf, 1}))}});
  std::string text = to_string(report);
  EXPECT_NE(text.find("-[x] 2 values are NaN or infinite, 2 in the reference"), std::string::npos) << text;
  EXPECT_NE(text.find("--allow-non-finite"), std::string::npos) << text;
  EXPECT_NE(text.find("and its definition compute values that are NaN or infinite"), std::string::npos)
      << text;
  EXPECT_EQ(text.find("all values close"), std::string::npos) << text;

  report.cases[0].outputs[0] = compare(floats({kNan, 1}), floats({2, 1}));
  text = to_string(report);
  EXPECT_NE(text.find("-[x] 1 values are NaN or infinite, 0 in the reference"), std::string::npos) << text;
  EXPECT_EQ(text.find("--allow-non-finite"), std::string::npos) << text;
  EXPECT_NE(text.find("does NOT compute"), std::string::npos) << text;

  report.cases[0].outputs[0] =
      compare_outputs("y", floats({-kInf, 1}), floats({-kInf, 1}), kAtol, NonFinite::allow);
  text = to_string(report);
  EXPECT_NE(text.find("-[✓] 1 values are NaN or infinite, 1 in the reference"), std::string::npos) << text;
}

TEST(ValidationAtol, IsThatOfTheDtypeUnlessGiven) {
  const auto of = [](DType dtype, double atol) {
    Interface interface;
    interface.float_dtype = dtype;
    interface.atol = atol;
    return interface;
  };
  EXPECT_EQ(validation_atol(of(DType::f32, 1e-5)), 1e-5);
  EXPECT_EQ(validation_atol(of(DType::f16, 1e-5)), 1e-2);
  EXPECT_EQ(validation_atol(of(DType::bf16, 1e-5)), 5e-3);
  EXPECT_EQ(validation_atol(of(DType::f16, 0.1)), 0.1);  // never below that of the class
  EXPECT_EQ(validation_atol(of(DType::bf16, 0.1)), 0.1);
  EXPECT_EQ(validation_atol(of(DType::f16, 1e-5), 1e-4), 1e-4);
}

}  // namespace
}  // namespace onnxport::test
