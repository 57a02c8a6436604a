// Matrix products and indexing.
#include <algorithm>
#include <array>
#include <utility>

#include "onnxport/ops.h"
#include "reference/matrix_view.h"

namespace onnxport::reference {
Results interpret_matmul(const Call& call) {
  const Stack a(call.input(0));
  const Stack b(call.input(1));
  if (a.cols != b.rows) reject(call.node, "inner extents {} and {} differ", a.cols, b.rows);
  const Extents leading = broadcast_extents(call, std::array{a.leading, b.leading});
  Extents shape = leading;
  shape.insert(shape.end(), {a.rows, b.cols});
  HostTensor out = make_tensor(call.dtype(), std::move(shape));
  if (product(b.leading) == 1) {  // one matrix for all: one tall product
    const std::int64_t rows = product(a.leading) * a.rows;
    multiply_in_parts(ConstMatrixView(a.data, rows, a.cols), b.at(0),
                      MatrixView(out.reals.data(), rows, b.cols));
    return out;
  }

  std::vector<std::array<std::int64_t, 2>> pairs;  // which matrix of a, which of b
  const std::array strides{broadcast_strides(a.leading, leading), broadcast_strides(b.leading, leading)};
  for_each_run(leading, strides, [&](const auto& at, std::int64_t count, const auto& step) {
    for (std::int64_t i = 0; i < count; ++i) pairs.push_back({at[0] + i * step[0], at[1] + i * step[1]});
  });
  const double work = static_cast<double>(out.numel()) * static_cast<double>(a.cols);
  for_each_part(static_cast<std::int64_t>(pairs.size()), work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto [left, right] = pairs[static_cast<std::size_t>(i)];
      multiply(a.at(left), b.at(right), MatrixView(out.reals.data() + i * a.rows * b.cols, a.rows, b.cols));
    }
  });
  return out;
}

Results interpret_linear(const Call& call) {
  const HostTensor& x = call.input(0);
  const Stack weight(call.input(1));
  if (x.shape.back() != weight.cols) reject(call.node, "{} inputs, expected {}", x.shape.back(), weight.cols);
  Extents shape = x.shape;
  shape.back() = weight.rows;
  HostTensor out = make_tensor(call.dtype(), std::move(shape));
  const std::int64_t rows = product(std::span(x.shape).first(x.shape.size() - 1));
  MatrixView result(out.reals.data(), rows, weight.rows);
  multiply_in_parts(ConstMatrixView(x.reals.data(), rows, weight.cols), weight.at(0).transpose(), result);
  if (call.has(2)) {
    const HostTensor& bias = call.input(2);
    if (bias.shape == out.shape && bias.shape.size() > 1) {
      result += ConstMatrixView(bias.reals.data(), rows, weight.rows);
      return out;
    }
    if (bias.numel() != weight.rows) reject(call.node, "{} biases, expected {}", bias.numel(), weight.rows);
    result.rowwise() += Eigen::Map<const Eigen::RowVectorXd>(bias.reals.data(), weight.rows);
  }
  return out;
}

Results interpret_embedding(const Call& call) {
  const HostTensor& indices = call.input(1);
  const Node& source = *call.node.inputs[0].node();
  const bool by_row = source.op == Op::weight && indices.numel() < source.weight.shape()[0];
  const Extents& table = by_row ? source.weight.shape() : call.input(0).shape;
  const std::int64_t row_size = product(std::span(table).subspan(1));
  Extents shape = indices.shape;
  shape.insert(shape.end(), table.begin() + 1, table.end());

  if (by_row) {  // reads no more than is asked for: a vocabulary is often the largest weight of all
    Tensor rows(call.dtype(), std::move(shape));
    std::byte* to = rows.data.data();
    for (const std::int64_t index : indices.integers) {
      source.weight.read(checked_index(call, index, table[0]) * row_size, row_size, to);
      to += static_cast<std::size_t>(row_size) * size_of(rows.dtype);
    }
    return to_host(rows);
  }
  HostTensor out = make_tensor(call.dtype(), std::move(shape));
  with_kind(out.dtype, [&]<class T>(T) {
    T* to = elements<T>(out).data();
    const T* from = elements<T>(call.input(0)).data();
    for (const std::int64_t index : indices.integers) {
      to = std::copy_n(from + checked_index(call, index, table[0]) * row_size, row_size, to);
    }
  });
  return out;
}

Results interpret_gather(const Call& call) {
  const HostTensor& x = call.input(0);
  const HostTensor& indices = call.input(1);
  const std::size_t axis = call.axis(x.shape);
  for (std::size_t i = 0; i < x.shape.size(); ++i) {
    if (i != axis && indices.shape[i] > x.shape[i]) {
      reject(call.node, "indices have extent {} on axis {}, expected {} or less", indices.shape[i], i,
             x.shape[i]);
    }
  }
  // Walks over the indices. In x, the index gives the position along the axis.
  Extents strides = row_major_strides(x.shape);
  const std::int64_t axis_stride = std::exchange(strides[axis], 0);
  HostTensor out = make_tensor(x.dtype, indices.shape);
  with_kind(x.dtype, [&]<class T>(T) {
    const std::int64_t* index = indices.integers.data();
    T* to = elements<T>(out).data();
    for_each_run(indices.shape, std::array{strides},
                 [&](const auto& at, std::int64_t count, const auto& step) {
                   for (std::int64_t i = 0; i < count; ++i) {
                     const std::int64_t place = checked_index(call, *index++, x.shape[axis]) * axis_stride;
                     *to++ = elements<T>(x)[static_cast<std::size_t>(at[0] + i * step[0] + place)];
                   }
                 });
  });
  return out;
}

}  // namespace onnxport::reference
