/// Tensors as Eigen matrices.
#pragma once

#include <Eigen/Core>

#include "reference/call.h"
#include "reference/product.h"

namespace onnxport::reference {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<Matrix>;
using ConstMatrixView = Eigen::Map<const Matrix>;

template <class M>
Factor factor(const M& matrix) {
  return {matrix.data(), matrix.rows(), matrix.cols(), matrix.outerStride(), !M::IsRowMajor};
}

// out = a * b.
template <class A, class B>
void multiply(const A& a, const B& b, MatrixView out) {
  multiply(factor(a), factor(b), out.data(), out.cols());
}

// The same with threads, which share the columns of a wide result, the rows of a tall one.
template <class A, class B>
void multiply_in_parts(const A& a, const B& b, MatrixView out) {
  const double work = static_cast<double>(out.size()) * static_cast<double>(a.cols());
  const bool wide = out.cols() >= out.rows();
  for_each_part(wide ? out.cols() : out.rows(), work, [&](std::int64_t begin, std::int64_t end) {
    if (wide) {
      multiply(factor(a), factor(b.middleCols(begin, end - begin)), out.data() + begin, out.cols());
    } else {
      multiply(factor(a.middleRows(begin, end - begin)), factor(b), out.data() + begin * out.cols(),
               out.cols());
    }
  });
}

// The matrices in the last two axes of a tensor.
struct Stack {
  const double* data;
  Extents leading;
  std::int64_t rows, cols;
  explicit Stack(const HostTensor& x)
      : data(x.reals.data()),
        leading(x.shape.begin(), x.shape.end() - 2),
        rows(x.shape[x.shape.size() - 2]),
        cols(x.shape.back()) {}
  std::int64_t size() const { return rows * cols; }
  ConstMatrixView at(std::int64_t i) const { return ConstMatrixView(data + i * size(), rows, cols); }
};

}  // namespace onnxport::reference
