#ifdef __x86_64__
#define Eigen EigenAvx2
#include "reference/product_kernel.h"

void onnxport::reference::multiply_avx2(const Factor& a, const Factor& b, double* out, std::int64_t stride) {
  multiply_with_eigen(a, b, out, stride);
}
#endif
