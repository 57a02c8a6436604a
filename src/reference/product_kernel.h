/// The product of Eigen, for files that are compiled for some processors. Such a file defines `Eigen` as a
/// name of its own before it includes this header: otherwise the linker would keep one of several functions
/// with one name, and run it on processors that lack its instructions.
#pragma once

#ifndef Eigen
#error "define Eigen as a name of its own"
#endif
#include <Eigen/Core>

#include "reference/product.h"

namespace onnxport::reference {

// Calls f with a view of the matrix.
template <class F>
static void with_view(const Factor& factor, const F& f) {
  using Eigen::Dynamic;
  using ByRow = Eigen::Matrix<double, Dynamic, Dynamic, Eigen::RowMajor>;
  using ByColumn = Eigen::Matrix<double, Dynamic, Dynamic, Eigen::ColMajor>;
  const Eigen::OuterStride<> stride(factor.stride);
  if (factor.transposed) {
    f(Eigen::Map<const ByColumn, 0, Eigen::OuterStride<>>(factor.data, factor.rows, factor.cols, stride));
  } else {
    f(Eigen::Map<const ByRow, 0, Eigen::OuterStride<>>(factor.data, factor.rows, factor.cols, stride));
  }
}

static void multiply_with_eigen(const Factor& a, const Factor& b, double* out, std::int64_t stride) {
  using Result = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::Map<Result, 0, Eigen::OuterStride<>> result(out, a.rows, b.cols, Eigen::OuterStride<>(stride));
  with_view(a, [&](const auto& left) {
    with_view(b, [&](const auto& right) { result.noalias() = left * right; });
  });
}

}  // namespace onnxport::reference
