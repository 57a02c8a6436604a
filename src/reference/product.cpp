#include "reference/product.h"

namespace onnxport::reference {

std::vector<MultiplyForm> multiply_forms() {
  std::vector<MultiplyForm> forms;
#ifdef __x86_64__
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
    forms.push_back({"avx512", multiply_avx512});
  if (avx2) forms.push_back({"avx2", multiply_avx2});
#endif
  forms.push_back({"baseline", multiply_baseline});
  return forms;
}

void multiply(const Factor& a, const Factor& b, double* out, std::int64_t stride) {
  static const auto widest = multiply_forms().front().multiply;
  widest(a, b, out, stride);
}

}  // namespace onnxport::reference
