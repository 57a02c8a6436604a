// Matrix products, indexing and attention.
#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "reference/call.h"
#include "reference/rounding.h"

namespace onnxport::reference {
namespace {

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

// The mask of an attention, if it has one.
class ScoreMask {
 public:
  ScoreMask(const Call& call, const Extents& scores) : heads_(scores[1]) {
    if (!call.has(3)) return;
    mask_ = &call.input(3);
    if (broadcast_extents(call, std::array{scores, mask_->shape}) != scores) {
      reject(call.node, "the mask does not fit the scores");
    }
    strides_ = broadcast_strides(mask_->shape, scores);
  }

  // Masks the scores of one query. False where a boolean mask leaves none of them.
  bool apply(Lane<double> scores, std::int64_t head, std::int64_t row, double limit) const {
    if (mask_ == nullptr) return true;
    bool any = is_float(mask_->dtype);
    const std::int64_t first = head / heads_ * strides_[0] + head % heads_ * strides_[1] + row * strides_[2];
    for (std::int64_t i = 0; i < scores.size; ++i) {
      const std::size_t at = static_cast<std::size_t>(first + i * strides_[3]);
      if (is_float(mask_->dtype)) {
        scores[i] = limited(scores[i] + mask_->reals[at], limit);
      } else if (mask_->integers[at] != 0) {
        any = true;
      } else {
        scores[i] = -std::numeric_limits<double>::infinity();
      }
    }
    return any;
  }

 private:
  std::int64_t heads_;
  const HostTensor* mask_ = nullptr;
  Extents strides_;
};

}  // namespace

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
    multiply(ConstMatrixView(a.data, rows, a.cols), b.at(0), MatrixView(out.reals.data(), rows, b.cols));
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
      MatrixView(out.reals.data() + i * a.rows * b.cols, a.rows, b.cols).noalias() = a.at(left) * b.at(right);
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
  multiply(ConstMatrixView(x.reals.data(), rows, weight.cols), weight.at(0).transpose(), result);
  if (call.has(2)) {
    const HostTensor& bias = call.input(2);
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
  // Walk over the indices; in x, the place along the axis comes from the index instead.
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

Results interpret_scaled_dot_product_attention(const Call& call) {
  const Stack query(call.input(0));
  const Stack key(call.input(1));
  const Stack value(call.input(2));
  if (query.leading != key.leading || query.leading != value.leading || query.cols != key.cols ||
      key.rows != value.rows) {
    reject(call.node, "query, key and value do not fit");
  }
  Extents shape = query.leading;
  shape.insert(shape.end(), {query.rows, value.cols});
  HostTensor out = make_tensor(call.dtype(), std::move(shape));
  const ScoreMask mask(call, {query.leading[0], query.leading[1], query.rows, key.rows});
  const double scale = call.node.attrs.real("scale");
  const double limit = overflow_limit(call.dtype());

  const std::int64_t heads = product(query.leading);
  const double work = static_cast<double>(heads * query.rows * key.rows * (query.cols + value.cols + 20));
  for_each_part(heads, work, [&](std::int64_t begin, std::int64_t end) {
    Matrix scores(query.rows, key.rows);
    for (std::int64_t head = begin; head < end; ++head) {
      scores.noalias() = query.at(head) * key.at(head).transpose();
      for (std::int64_t row = 0; row < query.rows; ++row) {
        const Lane<double> lane{scores.data() + row * key.rows, key.rows, 1};
        for (std::int64_t i = 0; i < lane.size; ++i) lane[i] = limited(lane[i] * scale, limit);
        if (mask.apply(lane, head, row, limit)) {
          softmax({lane.data, lane.size, 1}, lane);
        } else {
          scores.row(row).setZero();
        }
      }
      double* result = out.reals.data() + head * query.rows * value.cols;
      MatrixView(result, query.rows, value.cols).noalias() = scores * value.at(head);
    }
  });
  return out;
}

}  // namespace onnxport::reference
