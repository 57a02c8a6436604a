// The operations, their order and their float types are those of quant_tensor_k_quant_cpu() in
// onnxruntime/quantization/neural_compressor/weight_only.py, of which each block is a row. Here, a lane of
// each vector is a block.
#include "support/quantize_k.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "support/vectors.h"

namespace onnxport {
namespace {

using vectors::Floats;
using vectors::Ints;
using vectors::splat;

constexpr std::int64_t kLargestBlock = 256;
constexpr int kBlocks = vectors::kLanes;  // that are handled at a time

Floats absolute(Floats v) {
  return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) & splat(std::int32_t{0x7fffffff}));
}

Floats square_root(Floats v) {
  return Floats{std::sqrt(v[0]), std::sqrt(v[1]), std::sqrt(v[2]), std::sqrt(v[3])};
}

/// Rounds to an integer in [0, largest]. NaN stays NaN.
Floats to_code(Floats v, Floats largest) {
  const Floats zero = {};
  return vectors::round_to_even(vectors::min(largest, vectors::max(zero, v)));
}

template <std::size_t kCount>
using Sums = std::array<Floats, kCount>;

template <std::size_t kCount>
void add(Sums<kCount>& to, const Sums<kCount>& from) {
  to[0] += from[0];
  if constexpr (kCount > 1) to[1] += from[1];
  if constexpr (kCount > 2) to[2] += from[2];
}

/// The sums of terms(j), j in [begin, begin + count), in the order of NumPy: eight interleaved sums, over at
/// most 128 elements.
template <std::size_t kCount, class Terms>
Sums<kCount> sum_pairwise(std::int64_t begin, std::int64_t count, Terms& terms) {
  if (count > 128) {
    auto sums = sum_pairwise<kCount>(begin, count / 2, terms);
    add(sums, sum_pairwise<kCount>(begin + count / 2, count / 2, terms));
    return sums;
  }
  std::array<Sums<kCount>, 8> parts;
  for (std::int64_t first = 0; first < 8; ++first) {
    Sums<kCount> sums = terms(begin + first);
    for (std::int64_t j = first + 8; j < count; j += 8) add(sums, terms(begin + j));
    parts[static_cast<std::size_t>(first)] = sums;
  }
  for (std::size_t width = 1; width < parts.size(); width *= 2) {
    for (std::size_t i = 0; i < parts.size(); i += 2 * width) add(parts[i], parts[i + width]);
  }
  return parts[0];
}

/// `kBlocks` blocks, of which lane i is block i.
class Search {
 public:
  Search(std::int64_t block_size, int bits, SumOrder order)
      : size_(block_size), largest_(static_cast<float>((1 << bits) - 1)), order_(order) {}

  /// `values`: kBlocks * block_size, block after block.
  void load(const float* values) {
    for (std::int64_t j = 0; j < size_; ++j) {
      const float* at = values + j;
      x_[static_cast<std::size_t>(j)] = Floats{at[0], at[size_], at[2 * size_], at[3 * size_]};
    }
  }

  void run() {
    const auto [squares] = sum<1>([&](std::int64_t j) { return Sums<1>{x(j) * x(j)}; });
    const Floats mean = square_root(squares / splat(static_cast<float>(size_)));
    Floats high = x(0);
    low_ = x(0);
    for (std::int64_t j = 0; j < size_; ++j) {
      w(j) = mean + absolute(x(j));
      low_ = vectors::min(x(j), low_);
      high = vectors::max(x(j), high);
    }
    const auto [sum_w, sum_x] = sum<2>([&](std::int64_t j) { return Sums<2>{w(j), w(j) * x(j)}; });

    const Floats one = splat(1.0F), largest = splat(largest_);
    const Floats start = low_ != high ? largest / (high - low_) : one;
    scale_ = one / start;
    for (std::int64_t j = 0; j < size_; ++j) code(j) = to_code(start * (x(j) - low_), largest);
    Floats best = error(scale_, low_);
    for (int step = 0; step < 20; ++step) {
      const auto factor = static_cast<float>(-1 + 0.1 * step + static_cast<double>(largest_));
      const Floats inverse = low_ != high ? splat(factor) / (high - low_) : one;
      const auto [l, l2, xl] = sum<3>([&](std::int64_t j) {
        const Floats q = code(j) = to_code(inverse * (x(j) - low_), largest);
        const Floats product = w(j) * q;
        return Sums<3>{product, product * q, product * x(j)};
      });
      const Floats determinant = sum_w * l2 - l * l;
      const Floats scale = (sum_w * xl - sum_x * l) / determinant;
      const Floats low = (l2 * sum_x - l * xl) / determinant;
      const Floats found = error(scale, low);
      const Ints better = found < best;
      best = better ? found : best;
      scale_ = better ? scale : scale_;
      low_ = better ? low : low_;
    }
  }

  float scale(int block) const { return scale_[block]; }

  int zero_point(int block) const {
    const float code = to_code(splat(-low_[block] / scale_[block]), splat(largest_))[0];
    return code > 0 ? static_cast<int>(code) : 0;  // it is NaN if the scale is 0
  }

  /// In double, as the original does.
  int encode(int block, std::int64_t j, int zero_point) const {
    const double code =
        static_cast<double>(x_[static_cast<std::size_t>(j)][block]) / static_cast<double>(scale_[block]) +
        zero_point;
    const double top = largest_, clipped = code > 0 ? (code < top ? code : top) : 0.0;
    constexpr double kMagic = 0x1.8p52;
    return static_cast<int>((clipped + kMagic) - kMagic);
  }

 private:
  const Floats& x(std::int64_t j) const { return x_[static_cast<std::size_t>(j)]; }
  Floats& w(std::int64_t j) { return w_[static_cast<std::size_t>(j)]; }
  Floats& code(std::int64_t j) { return codes_[static_cast<std::size_t>(j)]; }

  template <std::size_t kCount, class Terms>
  Sums<kCount> sum(Terms terms) const {
    if (order_ == SumOrder::pairwise) return sum_pairwise<kCount>(0, size_, terms);
    Sums<kCount> sums{};
    for (std::int64_t j = 0; j < size_; ++j) add(sums, terms(j));
    return sums;
  }

  /// The weighted squares of the differences that the codes leave.
  Floats error(Floats scale, Floats low) {
    return sum<1>([&](std::int64_t j) {
      const Floats difference = scale * code(j) + low - x(j);
      return Sums<1>{w(j) * (difference * difference)};
    })[0];
  }

  std::int64_t size_;
  float largest_;
  SumOrder order_;
  Floats scale_{}, low_{};
  std::array<Floats, kLargestBlock> x_, w_, codes_;  ///< values, their weights, their codes
};

}  // namespace

void quantize_k(const float* values, std::int64_t count, const BlockParameters& parameters,
                BlockResults results, SumOrder order) {
  const std::int64_t size = parameters.block_size, bytes = parameters.block_bytes();
  Search search(size, parameters.bits, order);
  std::array<float, kBlocks * kLargestBlock> padded;
  for (std::int64_t done = 0; done < count; done += kBlocks * size) {
    const std::int64_t here = std::min(kBlocks * size, count - done);
    std::fill(padded.begin(), padded.begin() + kBlocks * size, 0.0F);
    std::copy_n(values + done, here, padded.begin());
    search.load(padded.data());
    search.run();
    for (int block = 0; block * size < here; ++block) {
      const int zero_point = search.zero_point(block);
      *results.scales++ = search.scale(block);
      *results.zero_points++ = static_cast<std::uint8_t>(zero_point);
      std::fill(results.codes, results.codes + bytes, std::uint8_t{0});
      for (std::int64_t j = 0; j < size; ++j) {
        const int code = search.encode(block, j, zero_point) << (j * parameters.bits % 8);
        results.codes[j * parameters.bits / 8] |= static_cast<std::uint8_t>(code);
      }
      results.codes += bytes;
    }
  }
}

}  // namespace onnxport
