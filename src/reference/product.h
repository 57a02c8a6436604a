/// Products of matrices in double precision, where validation spends most of its time. They use the widest
/// vectors of the processor at hand, so their last bits depend on it; nothing of them is ever exported.
#pragma once

#include <cstdint>
#include <vector>

namespace onnxport::reference {

/// A matrix in memory: element (i, j) is data[i * stride + j], or data[j * stride + i] of a transposed one.
struct Factor {
  const double* data;
  std::int64_t rows, cols, stride;
  bool transposed = false;
};

/// out[i * stride + j] = sum over k of a(i, k) * b(k, j); a.cols must be b.rows.
using Multiply = void(const Factor& a, const Factor& b, double* out, std::int64_t stride);

/// With the widest vectors that this processor has.
Multiply multiply;

/// A form of multiply() for some processors.
struct MultiplyForm {
  const char* vectors;  ///< "avx512"
  Multiply* multiply;
};
/// Those that run on this processor, the widest first.
std::vector<MultiplyForm> multiply_forms();

Multiply multiply_baseline;  // what every processor of the architecture has
#ifdef __x86_64__
Multiply multiply_avx2;
Multiply multiply_avx512;
#endif

}  // namespace onnxport::reference
