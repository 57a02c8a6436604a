#include "onnxport/weight.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <tuple>

#include "naive_weight.h"
#include "onnxport/error.h"
#include "onnxport/tensor.h"
#include "support/convert.h"
#include "support/dtype_names.h"
#include "support/file.h"
#include "support/parallel.h"
#include "support/temp_folder.h"

namespace onnxport {
namespace {

std::string error_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const ExportError& error) {
    return error.what();
  }
  return "no error";
}

TEST_F(WeightTest, ViewsAndReshape) {
  const auto [w, naive] = stored("a.weight", DType::bf16, {3, 5, 2});
  expect_equal(w, naive);
  EXPECT_EQ(w.name(), "a.weight");
  ASSERT_NE(w.view(), nullptr);
  EXPECT_FALSE(w.is_constant());
  const Weight flat = w.reshape({30});
  expect_equal(flat, {DType::bf16, {30}, naive.values});
  EXPECT_EQ(flat.name(), "a.weight");
  ASSERT_NE(flat.view(), nullptr);
  EXPECT_EQ(flat.view()->shape, (Dims{30}));
  EXPECT_EQ(flat.view()->offset, w.view()->offset);
  EXPECT_NE(flat.fingerprint(), w.fingerprint());
  EXPECT_EQ(flat.reshape({3, 5, 2}).fingerprint(), w.fingerprint());
  EXPECT_EQ(w.named("other").name(), "other");
  EXPECT_EQ(w.named("other").fingerprint(), w.fingerprint());
  EXPECT_NE(w.named("other").view(), nullptr);
}

TEST_F(WeightTest, EveryCastOfEveryDType) {
  for (DType from : kAllDTypes) {
    const auto [w, naive] = stored("w", from, {5, 3});
    for (DType to : kAllDTypes) {
      if (is_float(from) && !is_float(to)) continue;  // truncation: see ConvertTest
      const Naive narrowed =
          to == DType::boolean
              ? Naive::make(to, naive.shape,
                            [&n = naive](const Dims& i) { return n.values[n.offset(i)] != 0; })
              : naive.cast(to);
      expect_equal(w.cast(to), narrowed);
      EXPECT_EQ(w.cast(to).name(), from == to ? "w" : fmt::format("w.{}", short_name(to)));
    }
  }
}

TEST_F(WeightTest, CastRounds) {
  const std::vector<double> values = {
      65504, 65520, -1e30, 1e-7, 2e-8, 0.1, std::nan(""), 1 + 0x1p-11, 1 + 0x1p-11 + 0x1p-40};
  const Tensor tensor = Tensor::from_doubles(DType::f64, {9}, values);
  const Weight w(store("w", DType::f64, {9}, tensor.data));
  const std::vector<double> half = w.cast(DType::f16).to_doubles();
  constexpr double kInf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(std::vector<double>(half.begin(), half.begin() + 6),
            (std::vector<double>{65504, kInf, -kInf, 0x1p-23, 0, 0.0999755859375}));
  EXPECT_TRUE(std::isnan(half[6]));
  EXPECT_EQ(half[7], 1);
  EXPECT_EQ(half[8], 1 + 0x1p-10) << "rounded through float32";
  EXPECT_EQ(w.cast(DType::f32).to_doubles()[5], static_cast<double>(0.1F));
}

TEST_F(WeightTest, CastsSimplify) {
  const Weight w = stored("w", DType::bf16, {4, 2}).first;
  const Weight wide = w.cast(DType::f32);
  EXPECT_EQ(wide.name(), "w.fp32");
  EXPECT_EQ(wide.view(), nullptr);
  EXPECT_EQ(wide.reshape({8}).name(), "w.fp32");
  EXPECT_EQ(wide.cast(DType::f32).fingerprint(), wide.fingerprint());
  const Weight back = wide.reshape({8}).cast(DType::bf16);
  EXPECT_NE(back.view(), nullptr);
  EXPECT_EQ(back.name(), "w");
  EXPECT_EQ(wide.cast(DType::f16).fingerprint(), w.cast(DType::f16).fingerprint());
  EXPECT_EQ(wide.cast(DType::f16).name(), "w.fp16");
  // Not through a narrower dtype.
  EXPECT_NE(w.cast(DType::f16).cast(DType::f32).fingerprint(), wide.fingerprint());
  EXPECT_EQ(wide.named("x").cast(DType::f16).name(), "x.fp16");
}

TEST_F(WeightTest, PermutesOfEveryRank) {
  for (const Dims& shape : std::vector<Dims>{{1},
                                             {7},
                                             {37, 53},
                                             {300, 5},
                                             {5, 300},
                                             {1, 9},
                                             {5, 7, 11},
                                             {6, 1, 10},
                                             {3, 4, 5, 6},
                                             {2, 1, 3, 1, 5}}) {
    for (DType dtype : {DType::f32, DType::bf16, DType::i64, DType::u8}) {
      const auto [w, naive] = stored("w", dtype, shape);
      Dims axes(shape.size());
      std::iota(axes.begin(), axes.end(), 0);
      do {
        expect_equal(w.permute(axes), naive.permute(axes));
      } while (std::next_permutation(axes.begin(), axes.end()) && dtype == DType::f32);
      std::reverse(axes.begin(), axes.end());
      expect_equal(w.permute(axes), naive.permute(axes));
    }
  }
}

TEST_F(WeightTest, PermutesSimplify) {
  const Weight w = stored("w", DType::f32, {4, 1, 6}).first;
  EXPECT_EQ(w.permute({0, 1, 2}).fingerprint(), w.fingerprint());
  EXPECT_NE(w.permute({1, 0, 2}).view(), nullptr) << "moves no element";
  EXPECT_EQ(w.permute({1, 0, 2}).name(), "w");
  const Weight turned = w.permute({2, 0, 1});
  EXPECT_EQ(turned.name(), "w.permuted");
  EXPECT_EQ(turned.permute({1, 2, 0}).fingerprint(), w.fingerprint());
  EXPECT_EQ(turned.permute({1, 2, 0}).name(), "w");
  EXPECT_EQ(w.permute({-1, -3, -2}).fingerprint(), turned.fingerprint());
  EXPECT_EQ(w.permute({2, 1, 0}).reshape({6, 4}).fingerprint(),
            w.reshape({4, 6}).permute({1, 0}).fingerprint());
  const Weight transposed = w.reshape({4, 6}).permute({1, 0});
  EXPECT_EQ(transposed.name(), "w.T");
  EXPECT_EQ(transposed.permute({1, 0}).view()->shape, (Dims{4, 6}));
  EXPECT_EQ(transposed.cast(DType::f16).name(), "w.T.fp16");
  // A reshape in between is not looked through.
  const auto [v, naive] = stored("v", DType::f32, {4, 6});
  const Weight mixed = v.permute({1, 0}).reshape({3, 8}).permute({1, 0});
  Naive expected = naive.permute({1, 0});
  expected.shape = {3, 8};
  expect_equal(mixed, expected.permute({1, 0}));
}

TEST_F(WeightTest, Slices) {
  const auto [w, naive] = stored("w", DType::f32, {5, 7, 3});
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const std::int64_t extent = w.shape()[axis];
    for (std::int64_t begin = 0; begin <= extent; ++begin) {
      for (std::int64_t end = begin; end <= extent; ++end) {
        const Weight part = w.slice(static_cast<std::int64_t>(axis), begin, end);
        expect_equal(part, naive.slice(axis, begin, end));
        const bool whole = begin == 0 && end == extent;
        EXPECT_EQ(part.name(), whole ? "w" : fmt::format("w.slice_{}_{}_{}", axis, begin, end));
        if (axis == 0 && begin < end) {
          ASSERT_NE(part.view(), nullptr);
          EXPECT_EQ(part.view()->offset, w.view()->offset + static_cast<std::uint64_t>(begin) * 21 * 4);
          EXPECT_EQ(part.view()->key, "w");
        }
      }
    }
  }
  EXPECT_EQ(w.slice(-1, 0, 2).fingerprint(), w.slice(2, 0, 2).fingerprint());
  EXPECT_NE(w.slice(2, 0, 2).fingerprint(), w.slice(2, 1, 3).fingerprint());
  expect_equal(w.reshape({1, 35, 3}).slice(1, 4, 30).reshape({26, 3}), [&, n = naive]() mutable {
    n.shape = {35, 3};
    return n.slice(0, 4, 30);
  }());
}

TEST_F(WeightTest, Concats) {
  const auto [a, na] = stored("a", DType::f16, {3, 5, 2});
  const auto [b, nb] = stored("b", DType::f16, {3, 1, 2});
  const auto [c, nc] = stored("c", DType::f16, {3, 5, 2});
  const std::vector<Weight> three = {a, b, a};
  const Weight joined = Weight::concat(three, 1);
  expect_equal(joined, na.concat(nb, 1).concat(na, 1));
  EXPECT_EQ(joined.name(), "a.concat");
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const std::vector<Weight> two = {a, c};
    expect_equal(Weight::concat(two, static_cast<std::int64_t>(axis)), na.concat(nc, axis));
    EXPECT_EQ(Weight::concat(two, static_cast<std::int64_t>(axis) - 3).fingerprint(),
              Weight::concat(two, static_cast<std::int64_t>(axis)).fingerprint());
  }
  EXPECT_EQ(Weight::concat(std::span(&a, 1), 0).fingerprint(), a.fingerprint());
  const std::vector<Weight> with_empty = {a.slice(1, 2, 2), b, a.slice(1, 0, 0)};
  expect_equal(Weight::concat(with_empty, 1), nb);
  const std::vector<Weight> unlike = {a, b};
  EXPECT_EQ(error_of([&] { Weight::concat(unlike, 0); }),
            "cannot concatenate weight 'a' float16[3, 5, 2] and weight 'b' float16[3, 1, 2] along axis 0");
}

TEST_F(WeightTest, ArithmeticBroadcasts) {
  const auto [a, na] = stored("a", DType::f32, {4, 3, 5});
  for (const Dims& shape :
       std::vector<Dims>{{4, 3, 5}, {5}, {1}, {}, {3, 1}, {4, 1, 1}, {4, 1, 5}, {1, 3, 1}, {2, 1, 1, 1}}) {
    const auto [b, nb] = stored("b", DType::f32, shape);
    expect_equal(a.add(b), na.combine(nb, std::plus<>()));
    expect_equal(a.sub(b), na.combine(nb, std::minus<>()));
    expect_equal(b.sub(a), nb.combine(na, std::minus<>()));
    expect_equal(a.mul(b), na.combine(nb, std::multiplies<>()));
    EXPECT_EQ(a.mul(b).name(), "a.mul");
  }
  const Weight one = Weight::from_doubles(DType::f32, {}, std::vector<double>{1});
  expect_equal(one.add(a),
               Naive::make(DType::f32, {}, [](const Dims&) { return 1; }).combine(na, std::plus<>()));
  EXPECT_EQ(one.add(a).name(), "a.add");
  // Computed in double, rounded once; division as IEEE has it.
  const Weight third = a.add(one).div(a);
  for (std::size_t i = 0; i < na.values.size(); ++i) {
    EXPECT_EQ(third.to_doubles()[i], static_cast<float>((na.values[i] + 1) / na.values[i]));
  }
  const Weight w = a;
  const Weight h = stored("h", DType::f16, {3}).first;
  EXPECT_EQ(error_of([&] { h.add(w); }),
            "cannot add weight 'h' float16[3] and weight 'a' float32[4, 3, 5]: their dtypes differ");
  EXPECT_EQ(error_of([&] { w.add(w.slice(1, 0, 2)); }),
            "cannot add weight 'a' float32[4, 3, 5] and weight 'a.slice_1_0_2' float32[4, 2, 5]: their "
            "shapes do not broadcast");
}

TEST_F(WeightTest, NormExceptAnAxis) {
  const Dims shape = {3, 4, 5};
  const auto [a, na] = stored("a", DType::f32, shape);
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    std::vector<double> squares(static_cast<std::size_t>(shape[axis]), 0.0);
    for (std::size_t i = 0; i < na.values.size(); ++i) {
      const std::size_t index[] = {i / 20, i / 5 % 4, i % 5};
      squares[index[axis]] += na.values[i] * na.values[i];
    }
    const Weight norm = a.norm_except(static_cast<std::int64_t>(axis) - 3);
    Dims expected(3, 1);
    expected[axis] = shape[axis];
    EXPECT_EQ(norm.shape(), expected);
    EXPECT_EQ(norm.name(), "a.norm");
    EXPECT_NE(norm.fingerprint(), a.norm_except(static_cast<std::int64_t>(axis == 0)).fingerprint());
    for (std::size_t i = 0; i < squares.size(); ++i) {
      EXPECT_EQ(norm.to_doubles()[i], static_cast<float>(std::sqrt(squares[i])));
      float one = 0;  // a range of few elements
      norm.read(static_cast<std::int64_t>(i), 1, reinterpret_cast<std::byte*>(&one));
      EXPECT_EQ(one, static_cast<float>(std::sqrt(squares[i])));
    }
  }
  const auto [large, nl] = stored("large", DType::f16, {2, 70000});  // several tiles
  double squares = 0;
  for (std::size_t i = 70000; i < 140000; ++i) squares += nl.values[i] * nl.values[i];
  EXPECT_EQ(large.cast(DType::f32).norm_except(0).to_doubles()[1], static_cast<float>(std::sqrt(squares)));
  const Weight ids = Weight::from_ints({2}, std::vector<std::int64_t>{1, 2});
  EXPECT_EQ(error_of([&] { ids.norm_except(0); }), "unnamed weight int64[2] has no norm");
}

TEST_F(WeightTest, Functions) {
  const auto [a, na] = stored("a", DType::f16, {3, 50000});  // several tiles
  const std::tuple<std::string, Weight, double (*)(double)> functions[] = {
      {"sqrt", a.sqrt(), [](double x) { return std::sqrt(x); }},
      {"exp", a.exp(), [](double x) { return std::exp(x); }},
      {"sin", a.sin(), [](double x) { return std::sin(x); }},
      {"cos", a.cos(), [](double x) { return std::cos(x); }}};
  std::set<std::string> fingerprints = {a.fingerprint()};
  for (const auto& [name, weight, function] : functions) {
    EXPECT_EQ(weight.name(), "a." + name);
    EXPECT_TRUE(fingerprints.insert(weight.fingerprint()).second) << name;
    const Naive expected =
        Naive::make(DType::f16, a.shape(), [&, f = function](const Dims& i) { return f(na.broadcast(i)); });
    EXPECT_EQ(weight.to_doubles(), expected.values) << name;
  }
  const Weight ids = Weight::from_ints({2}, std::vector<std::int64_t>{1, 2});
  EXPECT_EQ(error_of([&] { ids.sqrt(); }), "unnamed weight int64[2] has no sqrt");
}

TEST_F(WeightTest, TakesRows) {
  const auto [a, na] = stored("a", DType::f32, {6, 2, 3});
  const std::vector<std::int64_t> rows = {3, 4, 5, 0, 2, 2};
  const Weight taken = a.take(Weight::from_ints({2, 3}, rows));
  EXPECT_EQ(taken.shape(), (Dims{2, 3, 2, 3}));
  EXPECT_EQ(taken.name(), "a.rows");
  const Naive expected = Naive::make(DType::f32, taken.shape(), [&](const Dims& i) {
    return na.broadcast({rows[static_cast<std::size_t>(3 * i[0] + i[1])], i[2], i[3]});
  });
  EXPECT_EQ(taken.to_doubles(), expected.values);
  float part[8];  // from the middle of a row on, over rows that follow each other and rows that do not
  taken.read(8, 8, reinterpret_cast<std::byte*>(part));
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(part[i], static_cast<float>(expected.values[8 + i])) << i;
  EXPECT_NE(taken.fingerprint(),
            a.take(Weight::from_ints({2, 3}, std::vector<std::int64_t>(6, 1))).fingerprint());
  EXPECT_EQ(error_of([&] { a.take(Weight::from_ints({1}, std::vector<std::int64_t>{6})); }),
            "row 6 requested from weight 'a' float32[6, 2, 3]");
}

TEST_F(WeightTest, LargeBroadcastOperands) {
  // Both operands are larger than one window of the reader.
  const auto [a, na] = stored("a", DType::f32, {2, 1, 40000});
  const auto [b, nb] = stored("b", DType::f32, {3, 1});
  const auto [c, nc] = stored("c", DType::f32, {80000, 1});
  expect_equal(a.mul(b), na.combine(nb, std::multiplies<>()));
  const auto [d, nd] = stored("d", DType::f32, {1, 3});
  expect_equal(c.sub(d), nc.combine(nd, std::minus<>()));
}

TEST_F(WeightTest, IntegerArithmetic) {
  const std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
  const Weight a = Weight::from_ints({4}, Dims{7, -7, (1LL << 62) + 1, lowest});
  const Weight minus = Weight::from_ints({}, Dims{-1}), two = Weight::from_ints({}, Dims{2});
  EXPECT_EQ(a.add(two).to_ints(), (Dims{9, -5, (1LL << 62) + 3, lowest + 2}));
  EXPECT_EQ(a.div(two).to_ints(), (Dims{3, -3, 1LL << 61, lowest / 2}));
  EXPECT_EQ(a.div(minus).to_ints(), (Dims{-7, 7, -(1LL << 62) - 1, lowest}));
  EXPECT_EQ(a.mul(minus).to_ints(), (Dims{-7, 7, -(1LL << 62) - 1, lowest}));
  const Weight huge = Weight::constant(DType::u64, {1}, std::vector<std::byte>(8, std::byte{0xff}));
  EXPECT_EQ(huge.div(two.cast(DType::u64)).to_ints()[0], std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(error_of([&] { a.div(Weight::from_ints({}, Dims{0})); }),
            "division of an integer weight by zero");
  const Weight flag = Weight::from_ints({}, Dims{1}, DType::boolean, "flag");
  EXPECT_EQ(error_of([&] { flag.add(flag); }),
            "cannot add weight 'flag' bool[] and weight 'flag' bool[]: bool has no arithmetic");
}

TEST_F(WeightTest, RandomChains) {
  for (int round = 0; round < 150; ++round) {
    auto [w, naive] =
        stored("w", round % 2 == 0 ? DType::f32 : DType::f16,
               {static_cast<std::int64_t>(random_() % 6) + 1, static_cast<std::int64_t>(random_() % 20) + 1,
                static_cast<std::int64_t>(random_() % 9) + 1});
    for (int step = 0; step < 6; ++step) {
      const std::size_t axis = random_() % 3;
      const std::int64_t extent = w.shape()[axis];
      switch (random_() % 6) {
        case 0: {
          Dims axes = {0, 1, 2};
          std::shuffle(axes.begin(), axes.end(), random_);
          w = w.permute(axes);
          naive = naive.permute(axes);
          break;
        }
        case 1: {
          const auto begin = static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(extent));
          const auto end =
              begin + 1 + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(extent - begin));
          w = w.slice(static_cast<std::int64_t>(axis), begin, end);
          naive = naive.slice(axis, begin, end);
          break;
        }
        case 2: {
          if (w.numel() > 5000) break;
          const std::vector<Weight> parts = {w, w.slice(static_cast<std::int64_t>(axis), 0, 1)};
          w = Weight::concat(parts, static_cast<std::int64_t>(axis));
          naive = naive.concat(naive.slice(axis, 0, 1), axis);
          break;
        }
        case 3: {
          const Weight row = w.slice(static_cast<std::int64_t>(axis), 0, 1);
          const Naive naive_row = naive.slice(axis, 0, 1);
          w = w.sub(row);
          naive = naive.combine(naive_row, std::minus<>());
          break;
        }
        case 4: {
          const DType to = std::array{DType::f32, DType::f16, DType::bf16, DType::f64}[random_() % 4];
          w = w.cast(to);
          naive = naive.cast(to);
          break;
        }
        default: {
          const Dims shape = {w.shape()[2], w.shape()[0] * w.shape()[1], 1};
          w = w.reshape(shape);
          naive.shape = shape;
        }
      }
    }
    expect_equal(w, naive);
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
}

TEST_F(WeightTest, LargePermutesGoThroughPanelsFromSeveralThreads) {
  // 34.4 MB: two panels. The values are their positions.
  constexpr std::int64_t kRows = 2100, kColumns = 4100;
  std::vector<std::byte> bytes(kRows * kColumns * 4);
  for (std::int32_t i = 0; i < kRows * kColumns; ++i) {
    std::memcpy(bytes.data() + static_cast<std::size_t>(i) * 4, &i, 4);
  }
  const Weight w(store("w", DType::i32, {kRows, kColumns}, bytes));
  bytes = {};
  const Weight turned = w.permute({1, 0});
  constexpr std::int64_t kStep = 262144 + 1;
  constexpr std::size_t kSteps = (kRows * kColumns + kStep - 1) / kStep;
  std::atomic<std::int64_t> wrong = 0;
  parallel_for(
      kSteps,
      [&](std::size_t i) {
        const std::int64_t begin = static_cast<std::int64_t>(i) * kStep,
                           count = std::min(kStep, kRows * kColumns - begin);
        std::vector<std::int32_t> part(static_cast<std::size_t>(count));
        turned.read(begin, count, reinterpret_cast<std::byte*>(part.data()));
        std::int64_t bad = 0;
        for (std::int64_t j = 0; j < count; ++j) {
          bad += part[static_cast<std::size_t>(j)] != (begin + j) % kRows * kColumns + (begin + j) / kRows;
        }
        wrong += bad;
      },
      4);
  EXPECT_EQ(wrong, 0);
}

TEST_F(WeightTest, Constants) {
  const Weight half = Weight::from_doubles(DType::f16, {2}, std::vector<double>{0.1, 1e9}, "table");
  EXPECT_TRUE(half.is_constant());
  EXPECT_EQ(half.name(), "table");
  EXPECT_EQ(half.view(), nullptr);
  EXPECT_EQ(half.to_doubles()[0], 0.0999755859375);
  EXPECT_TRUE(half.cast(DType::f32).is_constant()) << "small constants are computed at once";
  EXPECT_EQ(half.cast(DType::f32).name(), "table.fp32");
  EXPECT_TRUE(half.reshape({2, 1}).is_constant());
  EXPECT_EQ(half.reshape({2, 1}).name(), "table");
  EXPECT_EQ(half.fingerprint(), half.named("x").fingerprint());
  // Equal values, computed or given, are equal weights.
  EXPECT_EQ(half.cast(DType::f32).fingerprint(),
            Weight::from_doubles(DType::f32, {2}, half.to_doubles()).fingerprint());
  const Weight unnamed = Weight::from_ints({4}, Dims{1, 2, 3, 4});
  const std::vector<Weight> two = {unnamed, unnamed};
  EXPECT_EQ(unnamed.slice(0, 1, 3).name(), "");
  EXPECT_EQ(Weight::concat(two, 0).name(), "");
  EXPECT_TRUE(Weight::concat(two, 0).is_constant());
  EXPECT_EQ(unnamed.slice(0, 1, 3).to_ints(), (Dims{2, 3}));
  const Weight large = Weight::from_doubles(DType::f32, {200, 200}, std::vector<double>(40000, 1.5));
  EXPECT_FALSE(large.cast(DType::f16).is_constant());
  EXPECT_EQ(large.cast(DType::f16).to_doubles(), std::vector<double>(40000, 1.5));
  const std::vector<Weight> mixed = {stored("w", DType::i64, {4}).first, unnamed};
  EXPECT_FALSE(Weight::concat(mixed, 0).is_constant());
  const std::vector<Weight> turned = {unnamed, mixed[0]};
  EXPECT_FALSE(Weight::concat(turned, 0).is_constant());
  EXPECT_EQ(Weight::concat(turned, 0).name(), "w.concat");
}

TEST_F(WeightTest, FingerprintsAreEqualExactlyForEqualExpressions) {
  Weight w = stored("w", DType::f32, {4, 6}).first;
  Weight v = stored("v", DType::f32, {4, 6}).first;
  Weight k = Weight::from_doubles(DType::f32, {1}, std::vector<double>{2});
  const std::vector<Weight> wv = {w, v}, vw = {v, w};
  const std::vector<std::function<Weight()>> makers = {
      [&] { return w; },
      [&] { return v; },
      [&] { return w.reshape({6, 4}); },
      [&] { return w.permute({1, 0}); },
      [&] { return w.cast(DType::f16); },
      [&] { return w.cast(DType::bf16); },
      [&] { return w.slice(0, 0, 2); },
      [&] { return w.slice(0, 2, 4); },
      [&] { return w.slice(1, 0, 2); },
      [&] { return w.add(v); },
      [&] { return w.sub(v); },
      [&] { return v.sub(w); },
      [&] { return w.mul(k); },
      [&] { return w.div(k); },
      [&] { return w.div(k.add(k)); },
      [&] { return w.add(v.slice(0, 0, 1)); },
      [&] { return w.add(v.slice(1, 0, 1)); },
      [&] { return Weight::concat(wv, 0); },
      [&] { return Weight::concat(vw, 0); },
      [&] { return Weight::concat(wv, 1); },
      [&] { return Weight::concat(wv, 1).reshape({8, 6}); },
      [&] { return k; },
      [&] { return k.reshape({}); },
      [&] { return Weight::from_ints({1}, Dims{0x40000000}, DType::i32); },  // the bytes of 2.0F
      [&] { return Weight::from_doubles(DType::f32, {100}, std::vector<double>(100, 1)); },
      [&] { return Weight::from_doubles(DType::f32, {100}, std::vector<double>(100, 2)); },
      [&] { return Weight::from_doubles(DType::f32, {101}, std::vector<double>(101, 1)); },
  };
  std::set<std::string> fingerprints;
  for (const auto& make : makers) {
    EXPECT_EQ(make().fingerprint(), make().fingerprint());
    EXPECT_TRUE(fingerprints.insert(make().fingerprint()).second) << make().fingerprint();
    EXPECT_LT(make().fingerprint().size(), 300U);
  }
  // Another view of the same bytes, through another open file.
  TensorView again = *w.view();
  again.file = File::open(again.file->path());
  again.key = "alias";
  EXPECT_EQ(Weight(again).fingerprint(), w.fingerprint());
  // Expressions that share their parts do not grow.
  Weight sum = w;
  for (int i = 0; i < 60; ++i) sum = sum.add(sum);
  EXPECT_LT(sum.fingerprint().size(), 400U);
}

TEST_F(WeightTest, EmptyTensors) {
  const Weight w(store("w", DType::f32, {3, 0}, {}));
  EXPECT_EQ(w.numel(), 0);
  EXPECT_EQ(w.permute({1, 0}).shape(), (Dims{0, 3}));
  EXPECT_TRUE(w.cast(DType::f16).to_doubles().empty());
  EXPECT_TRUE(w.add(w).to_doubles().empty());
  EXPECT_EQ(Weight::concat(std::vector{w, w}, 0).shape(), (Dims{6, 0}));
  w.read(0, 0, nullptr);
}

TEST_F(WeightTest, Errors) {
  const Weight w = stored("w", DType::f32, {3, 4}).first;
  EXPECT_EQ(error_of([&] { w.reshape({5, 2}); }), "cannot reshape weight 'w' float32[3, 4] to [5, 2]");
  EXPECT_EQ(error_of([&] { w.reshape({-1}); }), "cannot reshape weight 'w' float32[3, 4] to [-1]");
  EXPECT_EQ(error_of([&] { w.permute({0}); }),
            "[0] is not a permutation of the axes of weight 'w' float32[3, 4]");
  EXPECT_EQ(error_of([&] { w.permute({0, 0}); }),
            "[0, 0] is not a permutation of the axes of weight 'w' float32[3, 4]");
  EXPECT_EQ(error_of([&] { w.permute({0, 2}); }), "weight 'w' float32[3, 4] has no axis 2");
  EXPECT_EQ(error_of([&] { w.slice(1, 2, 5); }), "cannot take [2, 5) of axis 1 of weight 'w' float32[3, 4]");
  EXPECT_EQ(error_of([&] { w.slice(-3, 0, 1); }), "weight 'w' float32[3, 4] has no axis -3");
  EXPECT_EQ(error_of([&] { w.read(10, 3, nullptr); }),
            "elements [10, 13) requested from weight 'w' float32[3, 4]");
  EXPECT_EQ(error_of([&] { w.to_ints(); }), "integers requested from weight 'w' float32[3, 4]");
  EXPECT_EQ(error_of([] { Weight().shape(); }), "an empty weight was used");
  EXPECT_EQ(error_of([] { Weight::concat({}, 0); }), "nothing to concatenate");
  EXPECT_EQ(error_of([] { Weight::constant(DType::f32, {2}, std::vector<std::byte>(4), "c"); }),
            "4 bytes given for constant 'c' float32[2], expected 8");
  EXPECT_EQ(error_of([] { Weight::constant(DType::f32, {-2}, {}); }), "a weight cannot have shape [-2]");
  EXPECT_EQ(error_of([&] {
              Weight chain = w;
              for (int i = 0; i < 1000; ++i) chain = chain.add(w);
            }),
            "a weight has more than 500 transforms");
  const Weight nowhere(TensorView{.key = "n", .dtype = DType::f32, .shape = {2}});
  EXPECT_EQ(nowhere.name(), "n");
  EXPECT_EQ(error_of([&] { nowhere.to_doubles(); }),
            "the bytes of key(n)fp32@0 were requested, but it has no file");
}

}  // namespace
}  // namespace onnxport
