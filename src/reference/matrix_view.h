/// Tensors as Eigen matrices.
#pragma once

#include <Eigen/Core>

#include "reference/call.h"

namespace onnxport::reference {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<Matrix>;
using ConstMatrixView = Eigen::Map<const Matrix>;

// out = a * b. Threads share the columns of a wide result, the rows of a tall one.
template <class A, class B>
void multiply(const A& a, const B& b, MatrixView out) {
  const double work = static_cast<double>(out.size()) * static_cast<double>(a.cols());
  const bool wide = out.cols() >= out.rows();
  for_each_part(wide ? out.cols() : out.rows(), work, [&](std::int64_t begin, std::int64_t end) {
    const Eigen::Index count = end - begin;
    if (wide) {
      out.middleCols(begin, count).noalias() = a * b.middleCols(begin, count);
    } else {
      out.middleRows(begin, count).noalias() = a.middleRows(begin, count) * b;
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
