// Conversion between all dtypes, against arithmetic in long double that shares nothing with it: every half
// and every bfloat16, every exponent of float and double with the mantissas at which rounding turns, the
// edges of every integer.
#include "support/convert.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/dtype_names.h"

namespace onnxport {
namespace {

using Real = long double;
static_assert(std::numeric_limits<Real>::digits >= 64, "holds every element of every dtype exactly");
constexpr Real kInf = std::numeric_limits<Real>::infinity();

/// How a float dtype is laid out.
struct Layout {
  int mantissa_bits, exponent_bits;
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  int least_exponent() const { return 1 - bias(); }  ///< of a normal number
  Real largest() const { return std::ldexp(2 - std::ldexp(Real{1}, -mantissa_bits), bias()); }
};

template <class T>
constexpr Layout layout_of() {
  if constexpr (std::same_as<T, F16>) return {10, 5};
  if constexpr (std::same_as<T, BF16>) return {7, 8};
  if constexpr (std::same_as<T, float>) return {23, 8};
  return {52, 11};
}

template <class T>
constexpr bool kIsFloat = std::same_as<T, F16> || std::same_as<T, BF16> || std::floating_point<T>;

template <class T>
std::uint64_t bits_of(T value) {
  if constexpr (std::same_as<T, float>) return std::bit_cast<std::uint32_t>(value);
  if constexpr (std::same_as<T, double>) return std::bit_cast<std::uint64_t>(value);
  if constexpr (std::same_as<T, F16> || std::same_as<T, BF16>) return value.bits;
  return 0;
}

template <class T>
T from_bits(std::uint64_t bits) {
  if constexpr (std::same_as<T, float>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  } else if constexpr (std::same_as<T, double>) {
    return std::bit_cast<double>(bits);
  } else {
    return T{static_cast<std::uint16_t>(bits)};
  }
}

/// What the bits of an element mean.
template <class T>
Real meaning(T value) {
  if constexpr (std::same_as<T, Bool>) {
    return value.bits != 0 ? 1 : 0;
  } else if constexpr (!kIsFloat<T>) {
    return static_cast<Real>(value);
  } else {
    constexpr Layout kLayout = layout_of<T>();
    const std::uint64_t bits = bits_of(value), all_ones = (std::uint64_t{1} << kLayout.exponent_bits) - 1;
    const std::uint64_t mantissa = bits & ((std::uint64_t{1} << kLayout.mantissa_bits) - 1);
    const std::uint64_t exponent = bits >> kLayout.mantissa_bits & all_ones;
    const Real sign = (bits >> (kLayout.mantissa_bits + kLayout.exponent_bits) & 1) != 0 ? -1 : 1;
    if (exponent == all_ones) return mantissa == 0 ? sign * kInf : std::numeric_limits<Real>::quiet_NaN();
    const std::uint64_t hidden = exponent == 0 ? 0 : std::uint64_t{1} << kLayout.mantissa_bits;
    const int power = static_cast<int>(exponent == 0 ? 1 : exponent) - kLayout.bias() - kLayout.mantissa_bits;
    return sign * std::ldexp(static_cast<Real>(mantissa + hidden), power);
  }
}

/// The nearest value of a float dtype, of two the even one; infinity beyond the middle above the largest.
Real rounded(Real value, const Layout& layout) {
  if (std::isnan(value) || std::isinf(value) || value == 0) return value;
  int exponent = 0;
  std::frexp(value, &exponent);
  const int last_place = std::max(exponent - 1, layout.least_exponent()) - layout.mantissa_bits;
  const Real result = std::ldexp(std::nearbyint(std::ldexp(value, -last_place)), last_place);
  return std::abs(result) > layout.largest() ? std::copysign(kInf, value) : result;
}

/// What one element must become.
template <class To, class From>
Real expected(From value) {
  const Real exact = meaning(value);
  if constexpr (kIsFloat<To>) {
    return rounded(exact, layout_of<To>());
  } else if constexpr (std::same_as<To, Bool>) {
    return exact == 0 ? 0 : 1;  // NaN is true
  } else if constexpr (kIsFloat<From>) {
    using Limits = std::numeric_limits<To>;
    if (std::isnan(exact)) return 0;
    return std::clamp(std::trunc(exact), static_cast<Real>(Limits::lowest()),
                      static_cast<Real>(Limits::max()));
  } else {
    // Integers wrap.
    const Real modulus = std::ldexp(Real{1}, 8 * static_cast<int>(sizeof(To)));
    Real wrapped = std::fmod(exact, modulus);
    if (wrapped < static_cast<Real>(std::numeric_limits<To>::lowest())) wrapped += modulus;
    if (wrapped > static_cast<Real>(std::numeric_limits<To>::max())) wrapped -= modulus;
    return wrapped;
  }
}

template <class T>
std::string shown(T value) {
  return fmt::format("{} (bits {:x})", static_cast<double>(meaning(value)), bits_of(value));
}

/// Converts all values to a dtype, in one call.
template <class To, class From>
void check_to(DType from, DType to, const std::vector<From>& values) {
  std::vector<To> results(values.size());
  convert(from, reinterpret_cast<const std::byte*>(values.data()), to,
          reinterpret_cast<std::byte*>(results.data()), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Real want = expected<To>(values[i]), got = meaning(results[i]);
    const bool same = std::isnan(want) ? std::isnan(got)
                                       : got == want && (!kIsFloat<To> || !kIsFloat<From> ||
                                                         std::signbit(got) == std::signbit(want));
    ASSERT_TRUE(same) << to_string(from) << ' ' << shown(values[i]) << " became " << to_string(to) << ' '
                      << shown(results[i]) << ", expected " << static_cast<double>(want);
    if constexpr (kIsFloat<To> && kIsFloat<From>) {
      if (!std::isnan(want)) continue;
      // The sign of a NaN stays, and so do the upper bits of its payload, of which the first says that it is
      // quiet.
      constexpr int kFrom = layout_of<From>().mantissa_bits, kTo = layout_of<To>().mantissa_bits;
      constexpr int kCommon = std::min(kFrom, kTo) - 1;
      const std::uint64_t before = bits_of(values[i]) >> (kFrom - 1 - kCommon),
                          after = bits_of(results[i]) >> (kTo - 1 - kCommon);
      constexpr std::uint64_t kPayload = (std::uint64_t{1} << kCommon) - 1;
      ASSERT_EQ(before & kPayload, after & kPayload) << shown(values[i]) << ' ' << shown(results[i]);
      ASSERT_EQ(bits_of(values[i]) >> (8 * sizeof(From) - 1), bits_of(results[i]) >> (8 * sizeof(To) - 1))
          << shown(values[i]) << ' ' << shown(results[i]);
    }
  }
}

template <class From>
void check_to_all(DType from, const std::vector<From>& values) {
  for (const DType to : kAllDTypes) {
    with_element_type(to, [&]<class To>(std::type_identity<To>) { check_to<To>(from, to, values); });
  }
}

/// Mantissas around those at which rounding to `kept` bits turns, for each dtype that is narrower.
std::vector<std::uint64_t> edge_mantissas(int bits) {
  std::vector<std::uint64_t> edges = {
      0, 1, 2, 3, (std::uint64_t{1} << bits) - 1, (std::uint64_t{1} << bits) - 2};
  for (int cut = 1; cut < bits; ++cut) {
    // Even and odd above the cut; at the middle, just beside it, and as far beside it as one bit can say.
    const std::uint64_t unit = std::uint64_t{1} << cut, half = unit / 2;
    for (const std::uint64_t above : {std::uint64_t{0}, unit, (std::uint64_t{1} << bits) - unit}) {
      for (const std::uint64_t below : {half, half - 1, half + 1, unit - 1}) {
        edges.push_back((above | below) & ((std::uint64_t{1} << bits) - 1));
      }
    }
  }
  return edges;
}

/// Every exponent with both signs; of those that no narrower dtype reaches, some.
template <class T>
std::vector<T> edges_of_every_exponent() {
  constexpr Layout kLayout = layout_of<T>();
  std::vector<T> values;
  const auto mantissas = edge_mantissas(kLayout.mantissa_bits);
  for (std::uint64_t exponent = 0; exponent < std::uint64_t{1} << (kLayout.exponent_bits + 1); ++exponent) {
    const int field = static_cast<int>(exponent) & ((1 << kLayout.exponent_bits) - 1);
    const int power = field - kLayout.bias();
    const bool edge = field < 2 || power > kLayout.bias() - 1;
    if (!edge && (power > 130 || power < -160) && field % 64 != 0) continue;
    for (const std::uint64_t mantissa : mantissas) {
      values.push_back(from_bits<T>(exponent << kLayout.mantissa_bits | mantissa));
    }
  }
  return values;
}

template <class T>
std::vector<T> every_value_of_16_bits() {
  std::vector<T> values;
  for (std::uint32_t bits = 0; bits < 65536; ++bits) values.push_back(from_bits<T>(bits));
  return values;
}

/// Around zero, around every power of two, and sums of two powers with one more: ties, and what breaks them.
template <class T>
std::vector<T> edges_of_integer() {
  using Unsigned = std::make_unsigned_t<T>;
  std::vector<T> values;
  constexpr int kBits = 8 * sizeof(T);
  for (int high = 0; high < kBits; ++high) {
    for (int low = -1; low < high; ++low) {
      const Unsigned power = static_cast<Unsigned>(Unsigned{1} << high);
      const Unsigned base =
          static_cast<Unsigned>(low < 0 ? power : power | static_cast<Unsigned>(Unsigned{1} << low));
      for (const int beside : {-2, -1, 0, 1, 2}) {
        const auto value = static_cast<Unsigned>(base + static_cast<Unsigned>(beside));
        values.push_back(static_cast<T>(value));
        values.push_back(static_cast<T>(static_cast<Unsigned>(0 - value)));
      }
    }
  }
  return values;
}

TEST(ConvertEdges, EveryHalfToEveryDType) { check_to_all(DType::f16, every_value_of_16_bits<F16>()); }
TEST(ConvertEdges, EveryBfloat16ToEveryDType) { check_to_all(DType::bf16, every_value_of_16_bits<BF16>()); }

TEST(ConvertEdges, SixteenBitsAndBack) {
  const auto back = []<class T>(DType dtype, const std::vector<T>& values) {
    for (const DType wide : {DType::f32, DType::f64}) {
      with_element_type(wide, [&]<class Wide>(std::type_identity<Wide>) {
        std::vector<Wide> between(values.size());
        std::vector<T> again(values.size());
        convert(dtype, reinterpret_cast<const std::byte*>(values.data()), wide,
                reinterpret_cast<std::byte*>(between.data()), values.size());
        convert(wide, reinterpret_cast<const std::byte*>(between.data()), dtype,
                reinterpret_cast<std::byte*>(again.data()), values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
          // Conversion to double and back makes a signaling NaN a quiet one.
          const bool quieted = wide == DType::f64 && std::isnan(meaning(values[i]));
          const std::uint64_t quiet = quieted ? std::uint64_t{1} << (layout_of<T>().mantissa_bits - 1) : 0;
          ASSERT_EQ(bits_of(again[i]), bits_of(values[i]) | quiet) << shown(values[i]);
        }
      });
    }
  };
  back(DType::f16, every_value_of_16_bits<F16>());
  back(DType::bf16, every_value_of_16_bits<BF16>());
}

// Long arrays of one half precision are converted to the other by a table.
TEST(ConvertEdges, LongArraysOfHalvesAreLikeShortOnes) {
  for (const auto& [from, to] : {std::pair{DType::f16, DType::bf16}, std::pair{DType::bf16, DType::f16}}) {
    std::vector<std::uint16_t> values(65536), all(65536), single(65536);
    std::iota(values.begin(), values.end(), std::uint16_t{0});
    const auto* in = reinterpret_cast<const std::byte*>(values.data());
    convert(from, in, to, reinterpret_cast<std::byte*>(all.data()), all.size());
    for (std::size_t i = 0; i < single.size(); ++i)
      convert(from, in + 2 * i, to, reinterpret_cast<std::byte*>(&single[i]), 1);
    EXPECT_TRUE(all == single);
    EXPECT_GT(std::ranges::count_if(all, [](std::uint16_t bits) { return bits != 0; }), 30000);
  }
}

TEST(ConvertEdges, EveryExponentOfFloat) { check_to_all(DType::f32, edges_of_every_exponent<float>()); }
TEST(ConvertEdges, EveryExponentOfDouble) { check_to_all(DType::f64, edges_of_every_exponent<double>()); }

TEST(ConvertEdges, EveryIntegerDType) {
  for (const DType from : kAllDTypes) {
    with_element_type(from, [&]<class From>(std::type_identity<From>) {
      if constexpr (std::integral<From>) check_to_all(from, edges_of_integer<From>());
    });
  }
  std::vector<Bool> bytes;
  for (unsigned byte = 0; byte < 256; ++byte) bytes.push_back({static_cast<std::uint8_t>(byte)});
  check_to_all(DType::boolean, bytes);
}

}  // namespace
}  // namespace onnxport
