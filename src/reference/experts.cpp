// Mixture of experts.
#include <algorithm>
#include <cmath>

#include "onnxport/ops.h"
#include "op/experts.h"
#include "reference/matrix_view.h"

namespace onnxport::reference {
namespace {

double gated(const std::string& activation, std::optional<double> limit, double gate, double up) {
  if (limit) {
    const double low = std::min(gate, *limit);
    return low / (1 + std::exp(-low)) * std::clamp(up, -*limit, *limit);
  }
  if (activation == "relu") return gate < 0 ? 0 : gate * up;
  if (activation == "relu2") return gate < 0 ? 0 : gate * gate * up;
  if (activation == "silu") return gate / (1 + std::exp(-gate)) * up;
  if (activation == "gelu") return 0.5 * gate * std::erfc(-gate * 0.7071067811865476) * up;
  if (activation == "gelu_pytorch_tanh") {
    const double bent = std::tanh(0.7978845608028654 * (gate + 0.044715 * gate * gate * gate));
    return 0.5 * gate * (1 + bent) * up;
  }
  const double bounded = std::min(gate, 7.0);  // swiglu_oai
  return bounded / (1 + std::exp(-1.702 * bounded)) * (std::clamp(up, -7.0, 7.0) + 1);
}

// Adds the bias of one expert to each row.
void add_bias(const Call& call, std::size_t operand, std::int64_t expert, Matrix& x) {
  if (!call.has(operand)) return;
  const HostTensor& biases = call.input(operand);
  x.rowwise() += ConstMatrixView(biases.reals.data() + expert * biases.shape[1], 1, biases.shape[1]).row(0);
}

// The matrix of one expert. Of a weight, only this part is loaded.
Matrix matrix_of(const Call& call, std::size_t operand, std::int64_t expert) {
  const Node& node = *call.node.inputs[operand].node();
  if (node.op != Op::weight) return Stack(call.input(operand)).at(expert);
  const Weight part = node.weight.slice(0, expert, expert + 1);
  const std::vector<double> values = part.to_doubles();
  return ConstMatrixView(values.data(), part.shape()[1], part.shape()[2]);
}

}  // namespace

Results interpret_mixture_of_experts(const Call& call) {
  const HostTensor& x = call.input(0);
  const HostTensor& routing = call.input(1);
  const std::int64_t rows = x.shape[0], experts = routing.shape[1];
  const std::string& activation = call.node.attrs.get<std::string>("activation");
  const std::optional<double> limit = op::detail::clamped_silu_limit(call.node.attrs);
  HostTensor out = make_tensor(call.dtype(), x.shape);
  const ConstMatrixView tokens(x.reals.data(), rows, x.shape[1]);
  MatrixView sums(out.reals.data(), rows, x.shape[1]);
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    std::vector<Eigen::Index> taken;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (routing.reals[static_cast<std::size_t>(row * experts + expert)] != 0) taken.push_back(row);
    }
    if (taken.empty()) continue;
    const Matrix mine = tokens(taken, Eigen::all);
    const auto times = [&](const Matrix& values, std::size_t operand) {
      const Matrix weight = matrix_of(call, operand, expert);
      Matrix made(values.rows(), weight.rows());
      multiply_in_parts(values, weight.transpose(), MatrixView(made.data(), made.rows(), made.cols()));
      add_bias(call, operand + 3, expert, made);
      return made;
    };
    const Matrix first = times(mine, 2);
    const Eigen::Index inner = *call.node.inputs[4].shape()[2].constant();
    Matrix up = Matrix::Ones(first.rows(), inner);  // without a gate
    if (call.has(3)) {
      up = times(mine, 3);
    } else if (first.cols() != inner) {
      up = first.rightCols(inner);
    }
    const Matrix hidden = first.leftCols(inner).binaryExpr(
        up, [&](double gate, double other) { return gated(activation, limit, gate, other); });
    const Matrix made = times(hidden, 4);
    for (std::size_t i = 0; i < taken.size(); ++i) {
      const double weight = routing.reals[static_cast<std::size_t>(taken[i] * experts + expert)];
      sums.row(taken[i]) += weight * made.row(static_cast<Eigen::Index>(i));
    }
  }
  return out;
}

}  // namespace onnxport::reference
