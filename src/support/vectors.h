/// Vectors of 16 bytes, which compilers keep in one register on x86-64 and aarch64.
///
/// A lane is computed like a scalar, so results do not depend on the machine. Files that use them are
/// compiled without contraction of products and sums (cmake/targets.cmake).
#pragma once

#include <cstdint>
#include <cstring>

namespace onnxport::vectors {

// gcc drops the attribute of an alias declaration.
typedef float Floats __attribute__((vector_size(16)));          // NOLINT
typedef std::int32_t Ints __attribute__((vector_size(16)));     // NOLINT
typedef std::uint16_t Shorts __attribute__((vector_size(16)));  // NOLINT
typedef std::uint8_t Bytes __attribute__((vector_size(16)));    // NOLINT

/// Lanes of Floats and of Ints.
inline constexpr int kLanes = 4;

template <class Vector>
Vector load(const void* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

template <class Vector>
void store(const Vector& vector, void* to) {
  std::memcpy(to, &vector, sizeof vector);
}

inline Floats splat(float value) { return Floats{value, value, value, value}; }
inline Ints splat(std::int32_t value) { return Ints{value, value, value, value}; }

/// The smaller one; `b` if one is NaN.
inline Floats min(Floats a, Floats b) { return a < b ? a : b; }
/// The larger one; `b` if one is NaN.
inline Floats max(Floats a, Floats b) { return a > b ? a : b; }

inline float lowest(Floats v) {
  const float a = v[0] < v[1] ? v[0] : v[1], b = v[2] < v[3] ? v[2] : v[3];
  return a < b ? a : b;
}
inline float highest(Floats v) {
  const float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
  return a > b ? a : b;
}

/// The even bytes of both, in order.
inline Bytes even_bytes(Shorts a, Shorts b) {
  return __builtin_shufflevector(reinterpret_cast<Bytes>(a), reinterpret_cast<Bytes>(b), 0, 2, 4, 6, 8, 10,
                                 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}

/// The low bytes of 16 integers, in order.
inline Bytes low_bytes(Ints a, Ints b, Ints c, Ints d) {
  const auto even = [](Ints x, Ints y) {
    return __builtin_shufflevector(reinterpret_cast<Shorts>(x), reinterpret_cast<Shorts>(y), 0, 2, 4, 6, 8,
                                   10, 12, 14);
  };
  return even_bytes(even(a, b), even(c, d));
}

/// The nearest integers, ties to even, of values between -2^22 and 2^22. NaN stays NaN.
inline Floats round_to_even(Floats v) {
  const Floats magic = splat(0x1.8p23F);
  return (v + magic) - magic;
}

}  // namespace onnxport::vectors
