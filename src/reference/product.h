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
void multiply(const Factor& a, const Factor& b, double* out, std::int64_t stride);

/// A form of multiply() for some processors.
struct MultiplyForm {
  const char* vectors;  ///< "avx512"
  decltype(&reference::multiply) multiply;
};
/// Those that run on this processor, the widest first.
std::vector<MultiplyForm> multiply_forms();

// The forms. What every processor of the architecture has:
void multiply_baseline(const Factor& a, const Factor& b, double* out, std::int64_t stride);
#ifdef __x86_64__
void multiply_avx2(const Factor& a, const Factor& b, double* out, std::int64_t stride);
void multiply_avx512(const Factor& a, const Factor& b, double* out, std::int64_t stride);
#endif

}  // namespace onnxport::reference
