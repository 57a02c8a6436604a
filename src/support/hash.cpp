#include "support/hash.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

namespace onnxport {
namespace {

/// A bijection in which every bit of the input reaches every bit of the output (multiply and shift, three
/// rounds).
std::uint64_t scramble(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  return x ^ (x >> 32);
}

}  // namespace

std::string hash128(std::span<const std::byte> bytes) {
  std::uint64_t a = 0x9e3779b97f4a7c15ULL ^ bytes.size();
  std::uint64_t b = 0xc2b2ae3d27d4eb4fULL + bytes.size();
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<std::size_t>(8, bytes.size() - i));
    a = scramble(a ^ word);
    b = scramble(std::rotl(b, 23) + word * 0x9fb21c651e98df25ULL);
  }
  return fmt::format("{:016x}{:016x}", scramble(a), scramble(b));
}

}  // namespace onnxport
