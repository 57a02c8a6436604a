#include "measure/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <mutex>
#include <numeric>

#include "ir/weight_compare.h"
#include "support/convert.h"
#include "support/parallel.h"

namespace onnxport::measure {
namespace {

constexpr std::int64_t kTile = 1 << 18;  // elements

/// Calls fn(begin, count) for parts of a tensor, on all threads.
template <class Fn>
void for_each_tile(std::int64_t numel, Fn&& fn) {
  const auto tiles = static_cast<std::size_t>((numel + kTile - 1) / kTile);
  parallel_for(tiles, [&](std::size_t i) {
    const std::int64_t begin = static_cast<std::int64_t>(i) * kTile;
    fn(begin, std::min(kTile, numel - begin));
  });
}

std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::vector<double> doubles(const Weight& weight, std::int64_t begin, std::int64_t count) {
  const auto n = static_cast<std::size_t>(count);
  std::vector<std::byte> bytes(n * onnxport::size_of(weight.dtype()));
  weight.read(begin, count, bytes.data());
  std::vector<double> values(n);
  convert(weight.dtype(), bytes.data(), DType::f64, reinterpret_cast<std::byte*>(values.data()), n);
  return values;
}

}  // namespace

std::string unordered_hash(const Weight& weight) {
  const std::size_t size = onnxport::size_of(weight.dtype());
  std::atomic<std::uint64_t> sum = 0, other = 0;  // of all tiles, in any order
  for_each_tile(weight.numel(), [&](std::int64_t begin, std::int64_t count) {
    std::vector<std::byte> buffer(static_cast<std::size_t>(count) * size);
    weight.read(begin, count, buffer.data());
    std::uint64_t first = 0, second = 0;
    for (std::size_t at = 0; at < buffer.size(); at += size) {
      std::uint64_t bits = 0;
      std::memcpy(&bits, buffer.data() + at, size);
      const std::uint64_t one = mixed(bits + 0x9e3779b97f4a7c15ULL);
      first += one;
      second += mixed(one ^ 0xd1b54a32d192ed03ULL);
    }
    sum += first;
    other += second;
  });
  return fmt::format("{:016x}{:016x}", sum.load(), other.load());
}

double largest_difference(const Weight& a, const Weight& b) {
  std::mutex mutex;
  double largest = 0;
  for_each_tile(a.numel(), [&](std::int64_t begin, std::int64_t count) {
    const std::vector<double> x = doubles(a, begin, count), y = doubles(b, begin, count);
    double most = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
      const double difference = std::abs(x[i] - y[i]);
      most = std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(most, difference);
    }
    const std::lock_guard lock(mutex);
    largest = std::max(largest, most);
  });
  return largest;
}

std::optional<std::vector<std::int64_t>> same_by_permutation(const Weight& a, const Weight& b) {
  constexpr std::size_t kMostAxes = 4;
  std::vector<std::int64_t> axes(a.shape().size());
  std::iota(axes.begin(), axes.end(), 0);
  if (a.dtype() != b.dtype() || a.shape().size() != b.shape().size()) return std::nullopt;
  do {
    bool fits = true;
    for (std::size_t i = 0; i < axes.size(); ++i)
      fits = fits && a.shape()[static_cast<std::size_t>(axes[i])] == b.shape()[i];
    if (fits && same_elements(a.permute(axes), b)) return axes;
  } while (axes.size() <= kMostAxes && std::ranges::next_permutation(axes).found);
  return std::nullopt;
}

}  // namespace onnxport::measure
