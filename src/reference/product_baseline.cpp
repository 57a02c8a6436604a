#define Eigen EigenBaseline
#include "reference/product_kernel.h"

void onnxport::reference::multiply_baseline(const Factor& a, const Factor& b, double* out,
                                            std::int64_t stride) {
  multiply_with_eigen(a, b, out, stride);
}
