// The reference interpreter: every op against values worked out by hand.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <random>

#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "reference/interpreter.h"
#include "reference/rounding.h"
#include "reference/strided.h"

namespace onnxport {
namespace {

using reference::Case;
using reference::Extents;
using reference::HostTensor;
using reference::interpret;

using Reals = std::vector<double>;
using Ints = std::vector<std::int64_t>;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kMaxF32 = std::numeric_limits<float>::max();

Tensor f32(Extents shape, const Reals& values) {
  return Tensor::from_doubles(DType::f32, std::move(shape), values);
}
Tensor f64(Extents shape, const Reals& values) {
  return Tensor::from_doubles(DType::f64, std::move(shape), values);
}
Tensor i64(Extents shape, const Ints& values) {
  return Tensor::from_ints(DType::i64, std::move(shape), values);
}
Tensor bools(Extents shape, const Ints& values) {
  return Tensor::from_ints(DType::boolean, std::move(shape), values);
}

/// 0, 1, 2, …
Tensor counting(Extents shape, DType dtype = DType::f64) {
  Reals values(static_cast<std::size_t>(reference::product(shape)));
  std::iota(values.begin(), values.end(), 0.0);
  return Tensor::from_doubles(dtype, std::move(shape), values);
}

// Equal within a tolerance relative to the values, or to `scale` where they are smaller; NaN equals NaN.
void expect_close(const Reals& got, const Reals& expected, double tolerance = 1e-12, double scale = 0) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i]))) continue;
    EXPECT_LE(std::abs(got[i] - expected[i]),
              tolerance * std::max({std::abs(got[i]), std::abs(expected[i]), scale}))
        << "element " << i << ": got " << got[i] << ", expected " << expected[i];
  }
}

// Runs f, which must throw an ExportError of this code whose message holds all the parts.
template <class F>
void expect_error(ErrorCode code, std::initializer_list<std::string_view> parts, F f) {
  try {
    f();
    ADD_FAILURE() << "expected an error";
  } catch (const ExportError& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    for (const std::string_view part : parts) {
      EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
    }
  }
}

// A graph under construction, with tensors for its inputs.
class Reference : public testing::Test {
 protected:
  // An input with this tensor; its declared shape is the tensor's, or the given one.
  Value in(Tensor tensor, const std::optional<Shape>& declared = {}) {
    Shape shape(tensor.shape.begin(), tensor.shape.end());
    const std::string name = "x" + std::to_string(inputs.size());
    const Value value = graph.input(name, {tensor.dtype, declared.value_or(shape)});
    inputs.emplace_back(name, std::move(tensor));
    return value;
  }
  HostTensor run(Value value) {
    graph.output("y" + std::to_string(graph.outputs().size()), value);
    return interpret(graph, {inputs})[0].back();
  }
  Reals reals(Value value) { return run(value).reals; }
  Ints ints(Value value) { return run(value).integers; }

  Graph graph;
  Case inputs;
};

// ---- elementwise ----

struct RealSample {
  Reals operands;
  double result;
};
struct IntSample {
  Ints operands;
  std::int64_t result;
  DType dtype = DType::i64;
};

const std::map<Op, std::vector<RealSample>> kRealSamples = {
    {Op::neg, {{{1.5}, -1.5}, {{-kInf}, kInf}}},
    {Op::abs, {{{-2.5}, 2.5}, {{kNaN}, kNaN}}},
    {Op::exp, {{{1}, 2.718281828459045}, {{-kInf}, 0}, {{1000}, kInf}}},
    {Op::log, {{{10}, 2.302585092994046}, {{0}, -kInf}, {{-1}, kNaN}}},
    {Op::sqrt, {{{2}, 1.4142135623730951}, {{-1}, kNaN}}},
    {Op::reciprocal, {{{4}, 0.25}, {{0}, kInf}}},
    {Op::erf, {{{0.5}, 0.5204998778130465}, {{kInf}, 1}}},
    {Op::tanh, {{{0.5}, 0.46211715726000976}, {{-kInf}, -1}}},
    {Op::sigmoid, {{{0}, 0.5}, {{2}, 0.8807970779778823}, {{-1000}, 0}}},
    {Op::relu, {{{-3}, 0}, {{3}, 3}, {{kNaN}, kNaN}}},
    {Op::softplus, {{{0}, 0.6931471805599453}, {{1000}, 1000}, {{-800}, 0}, {{-40}, 4.248354255291589e-18}}},
    {Op::round, {{{2.5}, 2}, {{-3.5}, -4}, {{0.4}, 0}}},
    {Op::sin, {{{1}, 0.8414709848078965}}},
    {Op::cos, {{{1}, 0.5403023058681398}}},
    {Op::add, {{{1, 2}, 3}, {{kInf, -kInf}, kNaN}}},
    {Op::sub, {{{1, 2.5}, -1.5}}},
    {Op::mul, {{{-3, 0.5}, -1.5}, {{0, kInf}, kNaN}}},
    {Op::div, {{{1, 8}, 0.125}, {{-1, 0}, -kInf}, {{0, 0}, kNaN}}},
    {Op::pow, {{{3, 2}, 9}, {{2, 0.5}, 1.4142135623730951}, {{2, -1}, 0.5}, {{-8, 3}, -512}}},
    {Op::maximum, {{{1, 2}, 2}, {{kNaN, 1}, kNaN}, {{1, kNaN}, kNaN}}},
    {Op::minimum, {{{1, 2}, 1}, {{kNaN, 1}, kNaN}, {{1, kNaN}, kNaN}}},
    {Op::eq, {{{1, 1}, 1}, {{1, 2}, 0}, {{kNaN, kNaN}, 0}}},
    {Op::lt, {{{1, 2}, 1}, {{2, 2}, 0}}},
    {Op::le, {{{2, 2}, 1}, {{3, 2}, 0}}},
    {Op::gt, {{{2, 1}, 1}, {{2, 2}, 0}}},
    {Op::ge, {{{2, 2}, 1}, {{2, 3}, 0}}},
};

constexpr std::int64_t kLowestI64 = std::numeric_limits<std::int64_t>::min();

const std::map<Op, std::vector<IntSample>> kIntSamples = {
    {Op::neg, {{{3}, -3}, {{kLowestI64}, kLowestI64}, {{-128}, -128, DType::i8}}},
    {Op::abs, {{{-3}, 3}, {{-128}, -128, DType::i8}}},
    {Op::logical_not, {{{0}, 1, DType::boolean}, {{1}, 0, DType::boolean}}},
    {Op::add, {{{1, 2}, 3}, {{127, 1}, -128, DType::i8}, {{255, 1}, 0, DType::u8}}},
    {Op::sub,
     {{{1, 2}, -1},
      {{0, 1}, 65535, DType::u16},
      {{kLowestI64, 1}, std::numeric_limits<std::int64_t>::max()}}},
    {Op::mul, {{{-3, 5}, -15}, {{65536, 65536}, 0, DType::i32}}},
    {Op::div, {{{-7, 2}, -3}, {{7, -2}, -3}, {{kLowestI64, -1}, kLowestI64}}},
    {Op::pow, {{{3, 4}, 81}, {{-2, 3}, -8}, {{5, 0}, 1}, {{2, 31}, -2147483648, DType::i32}}},
    {Op::maximum, {{{1, 2}, 2}}},
    {Op::minimum, {{{1, 2}, 1}}},
    {Op::logical_and, {{{1, 0}, 0, DType::boolean}, {{1, 1}, 1, DType::boolean}}},
    {Op::logical_or, {{{1, 0}, 1, DType::boolean}, {{0, 0}, 0, DType::boolean}}},
    {Op::eq, {{{1, 1}, 1}, {{1, 0}, 0, DType::boolean}}},
    {Op::lt, {{{-1, 0}, 1}}},
    {Op::le, {{{1, 0}, 0}}},
    {Op::gt, {{{1, 0}, 1}}},
    {Op::ge, {{{0, 0}, 1}}},
};

std::vector<Op> elementwise_ops() {
  std::vector<Op> ops;
#define ONNXPORT_UNARY(name) ops.push_back(Op::name);
#define ONNXPORT_BINARY(name) ONNXPORT_UNARY(name)
#define ONNXPORT_COMPARE(name) ONNXPORT_UNARY(name)
#include "onnxport/ops.def"
  return ops;
}

// A one-node graph on scalars.
HostTensor run_op(Op op, const std::vector<Tensor>& operands) {
  Graph graph;
  Case inputs;
  std::vector<Value> values;
  for (const Tensor& operand : operands) {
    inputs.emplace_back(std::string(1, static_cast<char>('a' + inputs.size())), operand);
    values.push_back(graph.input(inputs.back().first, {operand.dtype, {}}));
  }
  graph.output("y", op::detail::make(graph, op, values, {}).out());
  return interpret(graph, {inputs})[0][0];
}

TEST(ReferenceTables, EveryElementwiseOpHasASample) {
  for (const Op op : elementwise_ops()) {
    EXPECT_TRUE(kRealSamples.contains(op) || kIntSamples.contains(op))
        << to_string(op) << " has no sample in this test";
  }
}

TEST(ReferenceTables, Reals) {
  for (const auto& [op, samples] : kRealSamples) {
    for (const RealSample& sample : samples) {
      SCOPED_TRACE(std::string(to_string(op)) + " of " + std::to_string(sample.operands[0]));
      std::vector<Tensor> operands;
      for (const double value : sample.operands) operands.push_back(f64({}, {value}));
      const HostTensor result = run_op(op, operands);
      expect_close(
          result.dtype == DType::boolean ? Reals{static_cast<double>(result.integers[0])} : result.reals,
          {sample.result}, 1e-15);
    }
  }
}

TEST(ReferenceTables, Integers) {
  for (const auto& [op, samples] : kIntSamples) {
    for (const IntSample& sample : samples) {
      SCOPED_TRACE(std::string(to_string(op)) + " of " + std::to_string(sample.operands[0]));
      std::vector<Tensor> operands;
      for (const std::int64_t& value : sample.operands)
        operands.push_back(Tensor::from_ints(sample.dtype, {}, {&value, 1}));
      EXPECT_EQ(run_op(op, operands).integers, Ints{sample.result});
    }
  }
}

TEST_F(Reference, UndefinedIntegerArithmetic) {
  const Value x = in(i64({2}, {4, 6}));
  const ModulePath path(graph, "encoder.bucket");
  expect_error(ErrorCode::shape, {"div at encoder.bucket", "by zero"}, [&] { run(op::div(x, 0.0)); });
}

TEST_F(Reference, NegativeIntegerPower) {
  const Value x = in(i64({2}, {4, 6}));
  expect_error(ErrorCode::shape, {"pow", "-1"}, [&] { run(op::pow(x, -1.0)); });
}

TEST_F(Reference, Broadcasting) {
  const Value column = in(f64({2, 1}, {10, 20}));
  const Value row = in(f64({3}, {1, 2, 3}));
  const HostTensor sum = run(op::add(column, row));
  EXPECT_EQ(sum.shape, (Extents{2, 3}));
  EXPECT_EQ(sum.reals, (Reals{11, 12, 13, 21, 22, 23}));
  EXPECT_EQ(reals(op::sub(row, column)), (Reals{-9, -8, -7, -19, -18, -17}));
  EXPECT_EQ(reals(op::sub(1.0, row)), (Reals{0, -1, -2}));

  const Value cube = in(counting({2, 2, 3}));
  const Value middle = in(f64({2, 1, 3}, {100, 200, 300, 400, 500, 600}));
  EXPECT_EQ(reals(op::add(cube, middle)),
            (Reals{100, 201, 302, 103, 204, 305, 406, 507, 608, 409, 510, 611}));
  EXPECT_EQ(ints(op::lt(cube, 2.0)), (Ints{1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST_F(Reference, BroadcastingOfNothing) {
  const Dim past = Dim::symbol("past");
  const Value x = in(f32({2, 0, 3}, {}), Shape{2, past, 3});
  const HostTensor sum = run(op::add(x, in(f32({3}, {1, 2, 3}))));
  EXPECT_EQ(sum.shape, (Extents{2, 0, 3}));
  EXPECT_TRUE(sum.reals.empty());
}

TEST_F(Reference, SumOfTwoLowestFloatsOverflows) {
  const Value mask = in(f32({2}, {-kMaxF32, 1}));
  EXPECT_EQ(reals(op::add(mask, mask)), (Reals{-kInf, 2}));
}

TEST_F(Reference, OverflowFollowsTheDeclaredDtype) {
  for (const auto& [dtype, largest, ulp] :
       {std::tuple{DType::f32, kMaxF32, 0x1p104}, std::tuple{DType::f16, 65504.0, 32.0},
        std::tuple{DType::bf16, 0x1.fep127, 0x1p120}}) {
    const double limit = largest + ulp / 2;
    EXPECT_EQ(reference::overflow_limit(dtype), limit);
    EXPECT_EQ(reference::round_to(dtype, limit), kInf);
    EXPECT_EQ(reference::round_to(dtype, std::nextafter(limit, 0)), largest);
    const Value x = in(Tensor::from_doubles(dtype, {3}, Reals{largest, -largest, largest}));
    // Half a unit in the last place goes over, a quarter of one does not; and what stays is not rounded.
    const Value more = in(Tensor::from_doubles(dtype, {3}, Reals{ulp / 2, -ulp / 2, ulp / 4}));
    EXPECT_EQ(reals(op::add(x, more)), (Reals{kInf, -kInf, largest + ulp / 4}));
  }
  const Value wide = in(f64({1}, {kMaxF32}));
  EXPECT_EQ(reals(op::mul(wide, 4.0)), (Reals{4 * kMaxF32}));
}

TEST_F(Reference, ComparisonsSeeTheDeclaredDtype) {
  const Value x = in(f32({1}, {1}));
  const Value close = op::add(x, in(f32({1}, {1e-9})));
  EXPECT_EQ(reals(close), (Reals{1 + static_cast<double>(1e-9F)})) << "other ops do not round";
  EXPECT_EQ(ints(op::eq(x, close)), (Ints{1}));
  EXPECT_EQ(ints(op::lt(x, close)), (Ints{0}));
  const Value wide = in(f64({1}, {1}));
  EXPECT_EQ(ints(op::eq(wide, op::add(wide, 1e-9))), (Ints{0}));
}

TEST_F(Reference, Cast) {
  const double just_below = 1 - 1e-9;  // rounds to 1 in float32
  const Value x = in(f64({6}, {1.9, -1.9, 300, kNaN, 0, just_below}));
  EXPECT_EQ(ints(op::cast(x, DType::i64)), (Ints{1, -1, 300, 0, 0, 0}));
  EXPECT_EQ(ints(op::cast(x, DType::u8)), (Ints{1, 0, 255, 0, 0, 0}));
  EXPECT_EQ(ints(op::cast(x, DType::boolean)), (Ints{1, 1, 1, 1, 0, 1}));
  expect_close(reals(op::cast(x, DType::f32)), {1.9F, -1.9F, 300, kNaN, 0, 1});
  expect_close(reals(op::cast(x, DType::bf16)), {1.8984375, -1.8984375, 300, kNaN, 0, 1});
  const Value single = op::sub(in(f32({}, {1})), in(f32({}, {1e-9})));
  EXPECT_EQ(ints(op::cast(single, DType::i64)), (Ints{1})) << "truncates what float32 holds";

  const Value n = in(i64({3}, {300, -1, 16777217}));
  EXPECT_EQ(ints(op::cast(n, DType::u8)), (Ints{44, 255, 1}));
  EXPECT_EQ(ints(op::cast(n, DType::boolean)), (Ints{1, 1, 1}));
  EXPECT_EQ(reals(op::cast(n, DType::f32)), (Reals{300, -1, 16777216}));
  const Value flags = in(bools({2}, {0, 1}));
  EXPECT_EQ(reals(op::cast(flags, DType::f16)), (Reals{0, 1}));
  EXPECT_EQ(ints(op::cast(flags, DType::i32)), (Ints{0, 1}));
}

TEST_F(Reference, CastsToNarrowFloats) {
  // bfloat16 has 8 bits: 257 lies between 256 and 258, a tie that goes to even; 259 goes up to 260.
  EXPECT_EQ(reals(op::cast(in(f32({4}, {257, 259, 0x1.ffp127, 1e-40})), DType::bf16)),
            (Reals{256, 260, kInf, 0x1p-133}));
  // float16: the largest is 65504, the smallest 2^-24.
  EXPECT_EQ(reals(op::cast(in(f32({5}, {65519, 65520, 2049, 0x1p-24, 0x1p-26})), DType::f16)),
            (Reals{65504, kInf, 2048, 0x1p-24, 0}));
  // A narrowing cast starts from what the operand's dtype holds: two roundings, as in the real graph. A
  // widening one does not.
  const Value half = in(Tensor::from_doubles(DType::f16, {1}, Reals{2048}));
  const Value between = op::add(half, in(Tensor::from_doubles(DType::f16, {1}, Reals{0.5})));
  EXPECT_EQ(reals(op::cast(between, DType::f32)), (Reals{2048.5}));
  EXPECT_EQ(ints(op::cast(between, DType::i64)), (Ints{2048}));
  const Value tie = op::add(in(f32({1}, {2049})), in(f32({1}, {1e-6})));
  EXPECT_EQ(reals(op::cast(tie, DType::f16)), (Reals{2048})) << "2049.000001 is 2049 in float32";
}

TEST_F(Reference, Where) {
  const Value condition = in(bools({2, 1}, {1, 0}));
  const Value a = in(f64({3}, {1, 2, 3}));
  const Value b = in(f64({}, {9}));
  const HostTensor chosen = run(op::where(condition, a, b));
  EXPECT_EQ(chosen.shape, (Extents{2, 3}));
  EXPECT_EQ(chosen.reals, (Reals{1, 2, 3, 9, 9, 9}));
  EXPECT_EQ(reals(op::masked_fill(a, in(bools({3}, {0, 1, 0})), -kInf)), (Reals{1, -kInf, 3}));
  EXPECT_EQ(ints(op::where(condition, in(i64({1}, {5})), in(i64({1}, {6})))), (Ints{5, 6}));
}

TEST_F(Reference, Activations) {
  const Value x = in(f64({4}, {-1, 0, 2, -10}));
  expect_close(reals(op::gelu(x)), {-0.15865525393145707, 0, 1.9544997361036416, -7.619853024160526e-23});
  expect_close(reals(op::gelu(x, "tanh")), {-0.15880800939172324, 0, 1.954597694087775, 0}, 1e-12);
  expect_close(reals(op::silu(x)), {-0.2689414213699951, 0, 1.7615941559557646, -0.00045397868702434395});
  expect_close(reals(op::mish(x)), {-0.3034014613741089, 0, 1.9439589595339946, -0.00045398899185674697});
}

// ---- shape ----

TEST_F(Reference, Reshape) {
  const Dim batch = Dim::symbol("batch");
  const Value x = in(counting({3, 4}), Shape{batch, 4});
  const HostTensor split = run(op::reshape(x, {batch, 2, 2}));
  EXPECT_EQ(split.shape, (Extents{3, 2, 2}));
  EXPECT_EQ(split.reals, counting({12}).to_doubles());
  EXPECT_EQ(run(op::flatten(x, 0, 1)).shape, (Extents{12}));
  EXPECT_EQ(run(op::unsqueeze(x, 1)).shape, (Extents{3, 1, 4}));
  EXPECT_EQ(run(op::reshape(x, {-1, 2})).shape, (Extents{6, 2}));
}

TEST_F(Reference, Permute) {
  const Value x = in(counting({2, 3, 4}));
  const HostTensor turned = run(op::permute(x, {2, 0, 1}));
  EXPECT_EQ(turned.shape, (Extents{4, 2, 3}));
  Reals expected;
  for (int c = 0; c < 4; ++c) {
    for (int r = 0; r < 6; ++r) expected.push_back(r * 4 + c);
  }
  EXPECT_EQ(turned.reals, expected);
  EXPECT_EQ(reals(op::permute(x, {1, 0, 2})),
            (Reals{0, 1, 2, 3, 12, 13, 14, 15, 4, 5, 6, 7, 16, 17, 18, 19, 8, 9, 10, 11, 20, 21, 22, 23}));
  EXPECT_EQ(ints(op::transpose(in(i64({2, 2}, {1, 2, 3, 4})), 0, 1)), (Ints{1, 3, 2, 4}));
  EXPECT_EQ(run(op::transpose(in(f32({2, 0}, {})), 0, 1)).shape, (Extents{0, 2}));
}

TEST_F(Reference, Expand) {
  const Dim batch = Dim::symbol("batch");
  const Value x = in(f64({2, 1}, {1, 2}), Shape{batch, 1});
  const HostTensor wide = run(op::expand(x, {3, batch, 2}));
  EXPECT_EQ(wide.shape, (Extents{3, 2, 2}));
  EXPECT_EQ(wide.reals, (Reals{1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2}));
  expect_error(ErrorCode::shape, {"expand", "batch - 3 is -1"},
               [&] { run(op::expand(x, {batch - 3, batch, 1})); });
}

TEST_F(Reference, Concat) {
  const Dim past = Dim::symbol("past");
  const Value a = in(f64({2, 1}, {1, 2}));
  const Value b = in(f64({2, 2}, {3, 4, 5, 6}));
  EXPECT_EQ(reals(op::concat({a, b}, -1)), (Reals{1, 3, 4, 2, 5, 6}));
  EXPECT_EQ(reals(op::concat({b, b}, 0)), (Reals{3, 4, 5, 6, 3, 4, 5, 6}));
  const Value none = in(f64({2, 0}, {}), Shape{2, past});
  const HostTensor joined = run(op::concat({none, b}, 1));
  EXPECT_EQ(joined.shape, (Extents{2, 2}));
  EXPECT_EQ(joined.reals, (Reals{3, 4, 5, 6}));
}

TEST_F(Reference, Slice) {
  const Dim length = Dim::symbol("length");
  const Value x = in(counting({2, 5}), Shape{2, length});
  EXPECT_EQ(reals(op::slice(x, 1, 1, 3)), (Reals{1, 2, 6, 7}));
  EXPECT_EQ(reals(op::slice(x, 1, -2, length)), (Reals{3, 4, 8, 9}));
  EXPECT_EQ(reals(op::slice(x, 1, length - 1, length)), (Reals{4, 9}));
  EXPECT_EQ(run(op::slice(x, 1, 2, 2)).shape, (Extents{2, 0}));
  EXPECT_EQ(reals(op::select(x, 1, -1)), (Reals{4, 9}));
  EXPECT_EQ(reals(op::select(x, 0, 1)), (Reals{5, 6, 7, 8, 9}));
  expect_error(ErrorCode::shape, {"slice", "[4, 6)", "extent 5"}, [&] { run(op::slice(x, 1, 4, 6)); });
}

TEST_F(Reference, Sizes) {
  const Dim past = Dim::symbol("past");
  const Dim now = Dim::symbol("now");
  static_cast<void>(in(f32({3}, {0, 0, 0}), Shape{past}));
  static_cast<void>(in(f32({2}, {0, 0}), Shape{now}));
  EXPECT_EQ(ints(op::size(graph, past + now)), (Ints{5}));
  EXPECT_EQ(run(op::size(graph, past)).shape, Extents{});
  EXPECT_EQ(ints(op::arange(graph, now, past)), (Ints{3, 4}));
  EXPECT_EQ(ints(op::arange(graph, past - now)), (Ints{0}));
  expect_error(ErrorCode::shape, {"arange"}, [&] { run(op::arange(graph, now - past)); });
}

// ---- along an axis ----

TEST_F(Reference, Reductions) {
  const Value x = in(counting({2, 3}));
  EXPECT_EQ(reals(op::sum(x, 0)), (Reals{3, 5, 7}));
  EXPECT_EQ(reals(op::sum(x, -1)), (Reals{3, 12}));
  EXPECT_EQ(run(op::sum(x, 1, true)).shape, (Extents{2, 1}));
  EXPECT_EQ(reals(op::mean(x, 1)), (Reals{1, 4}));
  EXPECT_EQ(reals(op::amax(x, 0)), (Reals{3, 4, 5}));
  EXPECT_EQ(reals(op::cumsum(x, 1)), (Reals{0, 1, 3, 3, 7, 12}));
  EXPECT_EQ(reals(op::cumsum(x, 0)), (Reals{0, 1, 2, 3, 5, 7}));
  const Value n = in(i64({2, 2}, {1, 2, 3, 1L << 60}));
  EXPECT_EQ(ints(op::sum(n, 0)), (Ints{4, (1L << 60) + 2}));
  EXPECT_EQ(ints(op::cumsum(n, 1)), (Ints{1, 3, 3, (1L << 60) + 3}));
  EXPECT_EQ(ints(op::amax(n, 1)), (Ints{2, 1L << 60}));
  const Value bytes = in(Tensor::from_ints(DType::i8, {2}, Ints{100, 100}));
  EXPECT_EQ(ints(op::sum(bytes, 0)), (Ints{-56}));
  EXPECT_EQ(reals(op::sum(in(f32({2}, {kMaxF32, kMaxF32})), 0)), (Reals{kInf}));
  expect_close(reals(op::amax(in(f64({3}, {1, kNaN, 3})), 0)), {kNaN});
}

TEST_F(Reference, ReductionsOfNothing) {
  const Value x = in(f32({2, 0}, {}), Shape{2, Dim::symbol("past")});
  EXPECT_EQ(reals(op::sum(x, 1)), (Reals{0, 0}));
  expect_close(reals(op::mean(x, 1)), {kNaN, kNaN});
  EXPECT_EQ(run(op::softmax(x, 1)).shape, (Extents{2, 0}));
  EXPECT_EQ(run(op::cumsum(x, 1)).shape, (Extents{2, 0}));
  expect_error(ErrorCode::shape, {"amax", "no elements"}, [&] { run(op::amax(x, 1)); });
}

TEST_F(Reference, Argmax) {
  EXPECT_EQ(ints(op::argmax(in(f64({2, 3}, {1, 5, 5, 7, 2, 3})), 1)), (Ints{1, 0}));
  EXPECT_EQ(ints(op::argmax(in(f64({2, 2}, {1, 5, 2, 4})), 0)), (Ints{1, 0}));
  EXPECT_EQ(ints(op::argmax(in(i64({3}, {-3, -1, -2})), 0, true)), (Ints{1}));
  EXPECT_EQ(ints(op::argmax(in(f64({3}, {1, kNaN, 3})), 0)), (Ints{1}));
  // What differs only beyond float32 is a tie, and the first one wins.
  const Value close = op::add(in(f32({2}, {1, 1})), in(f32({2}, {0, 1e-9})));
  EXPECT_EQ(ints(op::argmax(close, 0)), (Ints{0}));
}

TEST_F(Reference, Softmax) {
  const double e = 2.718281828459045;
  const Value x = in(f64({4, 2}, {0, 1, 1000, 1001, -kInf, 3, -kInf, -kInf}));
  expect_close(reals(op::softmax(x, -1)),
               {1 / (1 + e), e / (1 + e), 1 / (1 + e), e / (1 + e), 0, 1, kNaN, kNaN});
  expect_close(reals(op::softmax(in(f64({2, 2}, {0, 5, 1, 5})), 0)), {1 / (1 + e), 0.5, e / (1 + e), 0.5});
  // A row whose every element is the mask's fill is uniform: as good as no mask.
  expect_close(reals(op::softmax(in(f32({2}, {-kMaxF32, -kMaxF32})), 0)), {0.5, 0.5});
  expect_close(reals(op::softmax(in(f64({2}, {kNaN, 0})), 0)), {kNaN, kNaN});
}

TEST_F(Reference, LayerNorm) {
  const Value x = in(f64({2, 2}, {1, 3, 5, 5}));
  const Value weight = in(f64({2}, {2, 4}));
  const Value bias = in(f64({2}, {10, 20}));
  const double unit = 1 / std::sqrt(1 + 1e-5);
  expect_close(reals(op::layer_norm(x, weight, bias, 1e-5)), {10 - 2 * unit, 20 + 4 * unit, 10, 20});
  expect_close(reals(op::layer_norm(x, {}, {}, 1e-5)), {-unit, unit, 0, 0});
}

TEST_F(Reference, GroupNorm) {
  const Value x = in(f64({1, 4, 2}, {1, 3, 5, 5, 2, 2, 6, 6}));
  const Value weight = in(f64({4}, {1, 2, 3, 4}));
  const Value bias = in(f64({4}, {0, 10, 20, 30}));
  const double one = 1 / std::sqrt(1 + 1e-5), four = 2 / std::sqrt(4 + 1e-5);
  expect_close(reals(op::group_norm(x, 4, weight, bias)), {-one, one, 10, 10, 20, 20, 30, 30});
  expect_close(reals(op::group_norm(op::slice(x, 1, 2, 4), 1, {}, {})), {-four, -four, four, four});
  expect_error(ErrorCode::shape, {"group_norm", "3 equal groups"},
               [&] { op::group_norm(x, 3, weight, bias); });
}

TEST_F(Reference, Normalize) {
  const Value x = in(f64({3, 2}, {3, 4, 0, 0, kNaN, 1}));
  expect_close(reals(op::normalize(x, 1)), {0.6, 0.8, 0, 0, kNaN, kNaN});
  expect_close(reals(op::normalize(in(f64({2, 1}, {3, -4})), 0)), {0.6, -0.8});
  expect_close(reals(op::normalize(in(f64({1}, {1e-3})), 0, 0.5)), {2e-3});
}

// ---- indexing ----

TEST_F(Reference, Embedding) {
  const Value table = in(counting({3, 2}));
  const HostTensor rows = run(op::embedding(table, in(i64({2, 2}, {2, 0, -1, 1}))));
  EXPECT_EQ(rows.shape, (Extents{2, 2, 2}));
  EXPECT_EQ(rows.reals, (Reals{4, 5, 0, 1, 4, 5, 2, 3}));
  const Value scalar_rows = in(i64({3}, {7, 8, 9}));
  EXPECT_EQ(ints(op::embedding(scalar_rows, in(Tensor::from_ints(DType::i32, {}, Ints{1})))), (Ints{8}));
}

TEST_F(Reference, EmbeddingOfAWeight) {
  const Value table = graph.weight(Weight::from_doubles(DType::f32, {4, 2}, Reals{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(reals(op::embedding(table, in(i64({2}, {3, -4})))), (Reals{6, 7, 0, 1})) << "by rows";
  EXPECT_EQ(reals(op::embedding(table, in(i64({5}, {1, 1, 1, 1, 2})))), (Reals{2, 3, 2, 3, 2, 3, 2, 3, 4, 5}))
      << "as a whole";
  const Value halves = graph.weight(Weight::from_doubles(DType::f64, {4, 1}, Reals{1.5, 2.5, 0.1, 4}));
  EXPECT_EQ(reals(op::embedding(halves, in(i64({1}, {2})))), (Reals{0.1F})) << "in the graph's float dtype";
}

TEST_F(Reference, EmbeddingOutOfRange) {
  const Value table = graph.weight(Weight::from_doubles(DType::f32, {4, 1}, Reals{0, 1, 2, 3}));
  const ModulePath path(graph, "embeddings.word_embeddings");
  for (const std::int64_t index : {4, -5}) {
    const Value rows = op::embedding(table, in(i64({1}, {index})));
    expect_error(ErrorCode::shape, {"embedding at embeddings.word_embeddings", std::to_string(index), "of 4"},
                 [&] { run(rows); });
    inputs.back().second = i64({1}, {0});
  }
}

TEST_F(Reference, Gather) {
  const Value x = in(counting({2, 3}));
  EXPECT_EQ(reals(op::gather(x, 1, in(i64({2, 2}, {2, 0, -1, 1})))), (Reals{2, 0, 5, 4}));
  EXPECT_EQ(reals(op::gather(x, 0, in(i64({1, 3}, {1, 0, -1})))), (Reals{3, 1, 5}));
  const Value cube = in(counting({2, 2, 2}));
  EXPECT_EQ(reals(op::gather(cube, 1, in(i64({2, 1, 2}, {0, 1, 1, 0})))), (Reals{0, 3, 6, 5}));
  EXPECT_EQ(ints(op::gather(in(i64({3}, {7, 8, 9})), 0, in(i64({4}, {2, 2, 1, 0})))), (Ints{9, 9, 8, 7}));
  expect_error(ErrorCode::shape, {"gather", "3"}, [&] { run(op::gather(x, 1, in(i64({1, 1}, {3})))); });
}

// ---- matrices ----

// A pseudo-random tensor in [-2, 2), the same on every platform.
Tensor noise(DType dtype, Extents shape, std::uint32_t seed) {
  std::mt19937 random(seed);
  Reals values(static_cast<std::size_t>(reference::product(shape)));
  for (double& value : values) value = static_cast<double>(random()) * 0x1p-30 - 2;
  return Tensor::from_doubles(dtype, std::move(shape), values);
}

Reals naive_product(const Tensor& a, const Tensor& b, std::int64_t batch, std::int64_t a_step,
                    std::int64_t b_step) {
  const std::int64_t rows = a.shape[a.shape.size() - 2], inner = a.shape.back(), cols = b.shape.back();
  const Reals x = a.to_doubles(), y = b.to_doubles();
  Reals out;
  for (std::int64_t n = 0; n < batch; ++n) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        double sum = 0;
        for (std::int64_t k = 0; k < inner; ++k) {
          sum += x[static_cast<std::size_t>((n * a_step * rows + r) * inner + k)] *
                 y[static_cast<std::size_t>((n * b_step * inner + k) * cols + c)];
        }
        out.push_back(sum);
      }
    }
  }
  return out;
}

TEST_F(Reference, Matmul) {
  EXPECT_EQ(reals(op::matmul(in(f64({1, 2}, {1, 2})), in(f64({2, 2}, {3, 4, 5, 6})))), (Reals{13, 16}));
  struct Sample {
    Extents a, b, out;
    std::int64_t a_step, b_step;
  };
  const std::vector<Sample> samples = {
      {{3, 4, 5}, {5, 6}, {3, 4, 6}, 1, 0},
      {{4, 5}, {3, 5, 6}, {3, 4, 6}, 0, 1},
      {{3, 4, 5}, {3, 5, 6}, {3, 4, 6}, 1, 1},
      {{1, 4, 5}, {3, 5, 6}, {3, 4, 6}, 0, 1},
      {{3, 1, 4, 5}, {3, 1, 5, 6}, {3, 1, 4, 6}, 1, 1},
      {{40, 64}, {64, 300}, {40, 300}, 0, 0},
      {{300, 64}, {64, 40}, {300, 40}, 0, 0},
      {{30, 40, 50}, {30, 50, 20}, {30, 40, 20}, 1, 1},
  };
  for (const Sample& sample : samples) {
    const Tensor a = noise(DType::f64, sample.a, 1), b = noise(DType::f64, sample.b, 2);
    const Value left = in(a), right = in(b);
    const HostTensor product = run(op::matmul(left, right));
    EXPECT_EQ(product.shape, sample.out);
    const Reals expected =
        naive_product(a, b, reference::product(std::span(sample.out).first(sample.out.size() - 2)),
                      sample.a_step, sample.b_step);
    expect_close(product.reals, expected, 1e-10);
  }
}

TEST_F(Reference, MatmulBroadcastsBothSides) {
  const Value a = in(f64({2, 1, 1, 1}, {2, 3}));
  const Value b = in(f64({3, 1, 1}, {5, 7, 11}));
  const HostTensor product = run(op::matmul(a, b));
  EXPECT_EQ(product.shape, (Extents{2, 3, 1, 1}));
  EXPECT_EQ(product.reals, (Reals{10, 14, 22, 15, 21, 33}));
}

TEST_F(Reference, MatmulOfNothing) {
  const Dim past = Dim::symbol("past");
  const Value a = in(f32({2, 0}, {}), Shape{2, past});
  const Value b = in(f32({0, 3}, {}), Shape{past, 3});
  EXPECT_EQ(reals(op::matmul(a, b)), Reals(6, 0.0)) << "an empty sum";
  EXPECT_EQ(run(op::matmul(op::transpose(a, 0, 1), a)).shape, (Extents{0, 0}));
  EXPECT_EQ(reals(op::matmul(in(f32({2, 1, 0}, {})), in(f32({2, 0, 1}, {})))), (Reals{0, 0}));
}

TEST_F(Reference, MatmulOverflows) {
  const Value a = in(Tensor::from_doubles(DType::f16, {1, 2}, Reals{256, 256}));
  const Value b = in(Tensor::from_doubles(DType::f16, {2, 2}, Reals{256, 1, 256, 1}));
  EXPECT_EQ(reals(op::matmul(a, b)), (Reals{kInf, 512}));
}

TEST_F(Reference, Linear) {
  const Value x = in(f64({2, 1, 2}, {1, 2, 3, 4}));
  const Value weight = in(f64({3, 2}, {1, 0, 0, 1, 1, 1}));
  const HostTensor plain = run(op::linear(x, weight));
  EXPECT_EQ(plain.shape, (Extents{2, 1, 3}));
  EXPECT_EQ(plain.reals, (Reals{1, 2, 3, 3, 4, 7}));
  EXPECT_EQ(reals(op::linear(x, weight, in(f64({3}, {10, 20, 30})))), (Reals{11, 22, 33, 13, 24, 37}));
  EXPECT_EQ(reals(op::linear(in(f64({2}, {5, 6})), weight)), (Reals{5, 6, 11}));
  EXPECT_EQ(run(op::linear(in(f64({0, 2}, {}), Shape{Dim::symbol("none"), 2}), weight)).shape,
            (Extents{0, 3}));
}

TEST_F(Reference, LargeLinear) {  // over several threads
  const Tensor x = noise(DType::f64, {3, 20, 96}, 3), weight = noise(DType::f64, {200, 96}, 4);
  Graph other;
  const Value turned = op::transpose(in(weight), 0, 1);
  const HostTensor b = run(turned);
  const Reals expected = naive_product(x, Tensor::from_doubles(DType::f64, b.shape, b.reals), 3, 1, 0);
  expect_close(reals(op::linear(in(x), turned.node()->inputs[0])), expected, 1e-10);
}

TEST_F(Reference, Conv1d) {
  const Value x = in(f64({1, 1, 5}, {1, 2, 3, 4, 5}), Shape{1, 1, Dim::symbol("length")});
  const Value weight = in(f64({1, 1, 2}, {1, 10}));
  EXPECT_EQ(reals(op::conv1d(x, weight)), (Reals{21, 32, 43, 54}));
  EXPECT_EQ(reals(op::conv1d(x, weight, in(f64({1}, {0.5})), {.stride = {2}})), (Reals{21.5, 43.5}));
  EXPECT_EQ(reals(op::conv1d(x, weight, {}, {.dilation = {3}})), (Reals{41, 52}));
  EXPECT_EQ(reals(op::conv1d(x, weight, {}, {.padding = {1}})), (Reals{10, 21, 32, 43, 54, 5}));
  EXPECT_EQ(reals(op::conv1d(x, weight, {}, {.padding = {0, 1}})), (Reals{21, 32, 43, 54, 5}));
  const Value wide = in(f64({1, 1, 6}, Reals(6, 1.0)));
  expect_error(ErrorCode::shape, {"conv", "5", "shorter than the kernel"}, [&] { run(op::conv1d(x, wide)); });
}

TEST_F(Reference, ConvOfGroups) {
  const Value x = in(f64({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8}));
  const Value weight = in(f64({4, 1, 1}, {1, 10, 100, 1000}));
  const HostTensor out = run(op::conv1d(x, weight, {}, {.groups = 2}));
  EXPECT_EQ(out.shape, (Extents{2, 4, 2}));
  EXPECT_EQ(out.reals, (Reals{1, 2, 10, 20, 300, 400, 3000, 4000, 5, 6, 50, 60, 700, 800, 7000, 8000}));
  EXPECT_EQ(reals(op::conv1d(x, in(f64({1, 2, 1}, {1, 10})))), (Reals{31, 42, 75, 86}));
}

TEST_F(Reference, Conv2d) {
  const Value x = in(counting({1, 1, 3, 3}));
  const Value weight = in(f64({1, 1, 2, 2}, {1, 10, 100, 1000}));
  EXPECT_EQ(reals(op::conv2d(x, weight)), (Reals{4310, 5421, 7643, 8754}));
  EXPECT_EQ(reals(op::conv2d(x, weight, {}, {.stride = {2, 1}, .padding = {1, 0}})),
            (Reals{1000, 2100, 7643, 8754}));
  EXPECT_EQ(reals(op::conv2d(x, weight, {}, {.padding = {0, 0, 0, 1}, .dilation = {2, 2}})),
            (Reals{8620, 701}));
}

TEST_F(Reference, ConvRefusesWhatDoesNotFit) {
  const Value x = in(f64({1, 4, 5}, Reals(20, 1.0)));
  const auto weight = [&](Extents shape) { return in(Tensor(DType::f64, std::move(shape))); };
  expect_error(ErrorCode::shape, {"conv", "[2, 3, 2]", "1 groups"},
               [&] { op::conv1d(x, weight({2, 3, 2})); });
  expect_error(ErrorCode::shape, {"conv", "2 groups"},
               [&] { op::conv1d(x, weight({3, 2, 2}), {}, {.groups = 2}); });
  expect_error(ErrorCode::shape, {"conv", "larger than axis 2"}, [&] { op::conv1d(x, weight({2, 4, 6})); });
  expect_error(ErrorCode::shape, {"conv", "stride 0"},
               [&] { op::conv1d(x, weight({2, 4, 2}), {}, {.stride = {0}}); });
  expect_error(ErrorCode::shape, {"conv", "spatial axes"}, [&] { op::conv2d(x, weight({2, 4, 2, 2})); });
}

TEST_F(Reference, ConvTranspose2d) {
  const Value x = in(f64({1, 1, 2, 2}, {1, 2, 3, 4}));
  const Value weight = in(f64({1, 1, 2, 2}, {1, 10, 100, 1000}));
  EXPECT_EQ(reals(op::conv_transpose2d(x, weight)), (Reals{1, 12, 20, 103, 1234, 2040, 300, 3400, 4000}));
  EXPECT_EQ(
      reals(op::conv_transpose2d(x, weight, in(f64({1}, {0.5})), {.stride = {2, 1}, .padding = {0, 1}})),
      (Reals{12.5, 1200.5, 34.5, 3400.5}));
  const Value groups = in(f64({2, 1, 1, 1}, {1, 10}));
  const Value two = in(f64({1, 2, 1, 2}, {1, 2, 3, 4}));
  EXPECT_EQ(reals(op::conv_transpose2d(two, groups, {}, {.groups = 2})), (Reals{1, 2, 30, 40}));
  expect_error(ErrorCode::shape, {"conv_transpose", "[1, 2, 1, 2]", "do not fit"},
               [&] { op::conv_transpose2d(two, weight); });
}

// The padding of TensorFlow: 3 places in 6 as in 5 elements, of which only 5 needs a zero in front.
TEST_F(Reference, SamePadding) {
  const std::vector<double> ones(3, 1.0);
  const Weight weight = Weight::from_doubles(DType::f32, {1, 1, 1, 3}, ones);
  const auto conv = [&](Value x, std::int64_t stride, std::int64_t dilation = 1) {
    const nn::Conv2d layer("conv", weight, {}, {.stride = {1, stride}, .dilation = {1, dilation}});
    return reals(layer.with_same_padding(x));
  };
  const Tensor even = f32({1, 1, 1, 6}, {1, 2, 4, 8, 16, 32}), odd = f32({1, 1, 1, 5}, {1, 2, 4, 8, 16});
  const Shape any = {1, 1, 1, Dim::symbol("width")};
  EXPECT_EQ(conv(in(even), 2), (Reals{7, 28, 48}));
  EXPECT_EQ(conv(in(odd), 2), (Reals{3, 14, 24}));
  EXPECT_EQ(conv(in(odd), 1), (Reals{3, 7, 14, 28, 24}));
  EXPECT_EQ(conv(in(odd), 1, 2), (Reals{5, 10, 21, 10, 20}));
  EXPECT_EQ(conv(in(odd, any), 2), (Reals{3, 14, 24}));
}

TEST_F(Reference, MaxPool2d) {
  const Value x = in(f64({1, 1, 3, 3}, {-1, -2, -3, -4, -5, -6, -7, -8, -9}));
  EXPECT_EQ(reals(op::max_pool2d(x, {2, 2})), (Reals{-1}));
  EXPECT_EQ(reals(op::max_pool2d(x, {2, 2}, {.stride = {1, 1}})), (Reals{-1, -2, -4, -5}));
  EXPECT_EQ(reals(op::max_pool2d(x, {2, 2}, {.padding = {1, 0}})), (Reals{-1, -4}));
  EXPECT_EQ(reals(op::max_pool2d(x, {2, 1}, {.stride = {1, 1}, .dilation = {2, 1}})), (Reals{-1, -2, -3}));
  expect_error(ErrorCode::shape, {"max_pool", "padding 2"},
               [&] { op::max_pool2d(x, {2, 2}, {.padding = {2, 2}}); });
  expect_error(ErrorCode::shape, {"max_pool", "larger than axis 2"}, [&] { op::max_pool2d(x, {4, 4}); });
}

TEST_F(Reference, Clamp) {
  const Value x = in(f64({4}, {-2, -1, 0.5, 7}));
  EXPECT_EQ(reals(op::clamp(x, -1, 6)), (Reals{-1, -1, 0.5, 6}));
  expect_error(ErrorCode::shape, {"clamp", "not below"}, [&] { op::clamp(x, 1, 0); });
}

TEST_F(Reference, Pad) {
  const Value x = in(f64({2, 2}, {1, 2, 3, 4}));
  EXPECT_EQ(reals(op::pad(x, {1, 0}, {0, 1}, 9)), (Reals{9, 9, 9, 1, 2, 9, 3, 4, 9}));
  expect_error(ErrorCode::shape, {"pad", "[1]", "[2, 2]"}, [&] { op::pad(x, {1}, {1}); });
  expect_error(ErrorCode::shape, {"pad", "negative"}, [&] { op::pad(x, {-1, 0}, {0, 0}); });
}

TEST_F(Reference, Interpolate) {
  const Value x = in(f64({1, 1, 1, 3}, {0, 4, 8}));
  EXPECT_EQ(reals(op::interpolate(x, {1, 6}, "nearest")), (Reals{0, 0, 4, 4, 8, 8}));
  EXPECT_EQ(reals(op::interpolate(x, {2, 6}, "linear")), (Reals{0, 1, 3, 5, 7, 8, 0, 1, 3, 5, 7, 8}));
  EXPECT_EQ(reals(op::interpolate(x, {1, 5}, "linear", true)), (Reals{0, 2, 4, 6, 8}));
  EXPECT_EQ(reals(op::interpolate(x, {1, 3}, "cubic")), (Reals{0, 4, 8}));
  // Halfway between 4 and 8: -3/32 of the outer two, 19/32 of the inner ones; the last element repeats.
  EXPECT_EQ(reals(op::interpolate(x, {1, 5}, "cubic", true))[3], (0 + 8) * -3 / 32.0 + (4 + 8) * 19 / 32.0);
  expect_error(ErrorCode::shape, {"interpolate", "'area'"}, [&] { op::interpolate(x, {1, 1}, "area"); });
  expect_error(ErrorCode::shape, {"interpolate", "[3]"}, [&] { op::interpolate(x, {3}, "linear"); });
  expect_error(ErrorCode::shape, {"align_corners"}, [&] { op::interpolate(x, {1, 3}, "nearest", true); });
}

// ---- attention ----

class Attention : public Reference {
 protected:
  // One head, two queries, three keys; scores without scale are [1 2 3] and [2 4 6].
  Value attend(Value mask = {}) {
    const Value query = in(f64({1, 1, 2, 1}, {1, 2}));
    const Value key = in(f64({1, 1, 3, 1}, {1, 2, 3}));
    const Value value = in(f64({1, 1, 3, 2}, {1, 10, 2, 20, 4, 40}));
    return op::scaled_dot_product_attention(query, key, value, mask, {.scale = 1.0});
  }
};

TEST_F(Attention, Plain) {
  const double a = std::exp(-2), b = std::exp(-1), first = (a + 2 * b + 4) / (a + b + 1);
  const double c = std::exp(-4), d = std::exp(-2), second = (c + 2 * d + 4) / (c + d + 1);
  expect_close(reals(attend()), {first, 10 * first, second, 10 * second});
}

TEST_F(Attention, BooleanMask) {
  const Value mask = in(bools({2, 3}, {0, 1, 0, 0, 0, 0}));
  expect_close(reals(attend(mask)), {2, 20, 0, 0});
}

TEST_F(Attention, FloatMask) {
  const double lowest = std::numeric_limits<double>::lowest();
  const Value some = in(f64({1, 1, 1, 3}, {0, -kInf, lowest}));
  expect_close(reals(attend(some)), {1, 10, 1, 10});
  const Value none = in(f64({3}, {-kInf, -kInf, -kInf}));
  expect_close(reals(attend(none)), {kNaN, kNaN, kNaN, kNaN});
}

TEST_F(Attention, FloatMaskOverflows) {
  // In float32 the lowest value swallows the score: a row of only fills is uniform. The sum of two fills is
  // -inf.
  const Value query = in(f32({1, 1, 1, 1}, {1}));
  const Value key = in(f32({1, 1, 2, 1}, {1, 2}));
  const Value value = in(f32({1, 1, 2, 1}, {1, 3}));
  const Value fill = in(f32({2}, {-kMaxF32, -kMaxF32}));
  expect_close(reals(op::scaled_dot_product_attention(query, key, value, fill)), {2});
  const Value twice = op::add(fill, fill);
  expect_close(reals(op::scaled_dot_product_attention(query, key, value, twice)), {kNaN});
}

TEST_F(Attention, OnlyScaledScoresOverflow) {
  // 64 products of 40 * 40 leave the range of float16, their sum divided by 8 does not.
  const Value x = in(Tensor::from_doubles(DType::f16, {1, 1, 1, 64}, Reals(64, 40.0)));
  EXPECT_EQ(reals(op::scaled_dot_product_attention(x, x, x)), Reals(64, 40.0));
}

TEST_F(Attention, MaskPerBatchAndHead) {
  const Value query = in(f64({2, 2, 1, 1}, {0, 0, 0, 0}));
  const Value key = in(f64({2, 2, 2, 1}, Reals(8, 0.0)));
  const Value value = in(counting({2, 2, 2, 1}));
  const Value by_batch = in(bools({2, 1, 1, 2}, {1, 0, 1, 1}));
  expect_close(reals(op::scaled_dot_product_attention(query, key, value, by_batch)), {0, 2, 4.5, 6.5});
  const Value by_head = in(bools({2, 1, 2}, {1, 0, 0, 1}));
  expect_close(reals(op::scaled_dot_product_attention(query, key, value, by_head)), {0, 3, 4, 7});
}

TEST_F(Attention, OfNothing) {
  const Dim length = Dim::symbol("length");
  const Value query = in(f32({1, 1, 2, 4}, Reals(8, 1.0)));
  const Value key = in(f32({1, 1, 0, 4}, {}), Shape{1, 1, length, 4});
  EXPECT_EQ(reals(op::scaled_dot_product_attention(query, key, key)), Reals(8, 0.0));
  EXPECT_EQ(run(op::scaled_dot_product_attention(key, query, query)).shape, (Extents{1, 1, 0, 4}));
}

// ---- inputs and symbols ----

class InterpreterInputs : public testing::Test {
 protected:
  InterpreterInputs() {
    const Dim batch = Dim::symbol("batch"), past = Dim::symbol("past"), now = Dim::symbol("now");
    const Value mask = graph.input("mask", {DType::i64, {batch, past + now}});
    graph.input("ids", {DType::i64, {batch, now}});
    graph.input("state", {DType::f32, {batch, 2, past}});
    graph.output("past", op::size(graph, past));
    graph.output("mask", mask);
  }
  static Case make_case(std::int64_t batch, std::int64_t past, std::int64_t now) {
    return {{"mask", Tensor(DType::i64, {batch, past + now})},
            {"ids", Tensor(DType::i64, {batch, now})},
            {"state", Tensor(DType::f32, {batch, 2, past})}};
  }
  void expect_refused(ErrorCode code, std::initializer_list<std::string_view> parts, const Case& inputs) {
    expect_error(code, parts, [&] { interpret(graph, {inputs}); });
  }
  Graph graph;
};

TEST_F(InterpreterInputs, SymbolsComeFromShapes) {
  const auto outputs = interpret(graph, {make_case(1, 0, 3), make_case(2, 5, 1)});
  ASSERT_EQ(outputs.size(), 2U);
  EXPECT_EQ(outputs[0][0].integers, (Ints{0}));
  EXPECT_EQ(outputs[1][0].integers, (Ints{5}));
  EXPECT_EQ(outputs[1][1].shape, (Extents{2, 6}));
  EXPECT_TRUE(interpret(graph, {}).empty());
}

TEST_F(InterpreterInputs, Missing) {
  Case inputs = make_case(1, 2, 3);
  inputs.erase(inputs.begin() + 1);
  expect_refused(ErrorCode::invalid_argument, {"'ids'", "no tensor"}, inputs);
}

TEST_F(InterpreterInputs, WrongDtype) {
  Case inputs = make_case(1, 2, 3);
  inputs[1].second = Tensor(DType::i32, {1, 3});
  expect_refused(ErrorCode::invalid_argument, {"'ids'", "int32[1, 3]", "int64[batch, now]"}, inputs);
}

TEST_F(InterpreterInputs, WrongRankOrExtent) {
  Case inputs = make_case(1, 2, 3);
  inputs[1].second = Tensor(DType::i64, {3});
  expect_refused(ErrorCode::invalid_argument, {"'ids'", "int64[3]"}, inputs);
  inputs = make_case(1, 2, 3);
  inputs[2].second = Tensor(DType::f32, {1, 3, 2});
  expect_refused(ErrorCode::invalid_argument, {"'state'", "[1, 3, 2]", "[batch, 2, past]"}, inputs);
  inputs = make_case(1, 2, 3);
  inputs[2].second.data.pop_back();
  expect_refused(ErrorCode::invalid_argument, {"'state'"}, inputs);
}

TEST_F(InterpreterInputs, SymbolWithTwoValues) {
  Case inputs = make_case(1, 2, 3);
  inputs[1].second = Tensor(DType::i64, {4, 3});
  expect_refused(ErrorCode::shape, {"input 'ids' axis 0 is 4", "batch = 1", "input 'mask' axis 0"}, inputs);
  inputs = make_case(1, 2, 3);
  inputs[0].second = Tensor(DType::i64, {1, 6});
  expect_refused(ErrorCode::shape,
                 {"input 'mask' axis 1 is 6", "now + past = 5", "now = 3 by input 'ids' axis 1"}, inputs);
}

TEST(Symbols, SolvedFromACompositeAxis) {
  const Dim past = Dim::symbol("past"), now = Dim::symbol("now");
  Graph graph;
  graph.input("mask", {DType::f32, {past + now}});
  graph.input("ids", {DType::f32, {2 * now}});
  graph.output("past", op::size(graph, past));
  const auto run = [&](std::int64_t mask, std::int64_t ids) {
    return interpret(graph,
                     {{{"mask", Tensor(DType::f32, {mask})}, {"ids", Tensor(DType::f32, {ids})}}})[0][0]
        .integers;
  };
  EXPECT_EQ(run(7, 4), (Ints{5}));
  EXPECT_EQ(run(2, 4), (Ints{0}));
  expect_error(ErrorCode::shape, {"'mask' axis 0 is 1", "now + past"}, [&] { run(1, 4); });
  expect_error(ErrorCode::shape, {"'ids' axis 0 is 5", "2*now"}, [&] { run(7, 5); });
}

TEST(Symbols, Undetermined) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {Dim::symbol("past") + Dim::symbol("now")}});
  graph.output("y", x);
  expect_error(ErrorCode::shape, {"input 'x' axis 0 is 3", "now + past"},
               [&] { interpret(graph, {{{"x", Tensor(DType::f32, {3})}}}); });
}

// ---- the walk ----

TEST(Walk, ChecksInference) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {2, 3}});
  const ModulePath path(graph, "head");
  Node& wrong = graph.add(Op::sum, {x}, {{"axis", std::int64_t{0}}, {"keepdim", false}}, {{DType::f32, {2}}});
  graph.output("y", wrong.out());
  expect_error(ErrorCode::internal, {"sum (%1) at head", "float32[3]", "float32[2]"},
               [&] { interpret(graph, {{{"x", Tensor(DType::f32, {2, 3})}}}); });
}

TEST(Walk, SkipsWhatNoOutputNeeds) {
  Graph graph;
  const Value x = graph.input("x", {DType::i64, {2}});
  const Value unused = op::div(x, 0.0);
  op::neg(unused);
  graph.output("y", op::add(x, 1.0));
  std::vector<std::size_t> seen;
  const auto outputs =
      interpret(graph, {{{"x", i64({2}, {1, 2})}}}, [&](std::size_t done, std::size_t total) {
        seen.push_back(done);
        EXPECT_EQ(total, graph.nodes().size());
      });
  EXPECT_EQ(outputs[0][0].integers, (Ints{2, 3}));
  EXPECT_EQ(seen.size(), graph.nodes().size());
}

TEST(Walk, InputsAndWeightsMayBeOutputs) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {1}});
  const Value weight = graph.weight(Weight::from_doubles(DType::f32, {2}, Reals{3, 4}));
  const Value flags = graph.weight(Weight::from_ints({2}, Ints{0, 1}, DType::boolean));
  graph.output("a", x);
  graph.output("b", weight);
  graph.output("c", op::add(x, weight));
  graph.output("d", flags);
  const auto outputs = interpret(graph, {{{"x", f32({1}, {1})}}, {{"x", f32({1}, {2})}}});
  EXPECT_EQ(outputs[0][0].reals, (Reals{1}));
  EXPECT_EQ(outputs[1][0].reals, (Reals{2}));
  EXPECT_EQ(outputs[1][1].reals, (Reals{3, 4}));
  EXPECT_EQ(outputs[0][2].reals, (Reals{4, 5}));
  EXPECT_EQ(outputs[1][2].reals, (Reals{5, 6}));
  EXPECT_EQ(outputs[1][3].integers, (Ints{0, 1}));
}

TEST(HostTensors, RoundTrip) {
  const Tensor bf16 = to_tensor(HostTensor{DType::bf16, {3}, {257, 1e39, -0.5}, {}});
  EXPECT_EQ(bf16.to_doubles(), (Reals{256, kInf, -0.5}));
  const Tensor flags = to_tensor(HostTensor{DType::boolean, {2}, {}, {1, 0}});
  EXPECT_EQ(flags.data, (std::vector<std::byte>{std::byte{1}, std::byte{0}}));
  const HostTensor back = reference::to_host(bf16);
  EXPECT_EQ(back.dtype, DType::bf16);
  EXPECT_EQ(back.numel(), 3);
  EXPECT_EQ(back.reals, (Reals{256, kInf, -0.5}));
}

}  // namespace
}  // namespace onnxport
