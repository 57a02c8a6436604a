// Mixture of experts.
#include <cmath>

#include "reference/matrix_view.h"

namespace onnxport::reference {
namespace {

double activate(const std::string& name, double x) {
  if (name == "relu") return x < 0 ? 0 : x;
  if (name == "silu") return x / (1 + std::exp(-x));
  return 0.5 * x * std::erfc(-x * 0.7071067811865476);  // gelu
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
    const Matrix first = mine * matrix_of(call, 2, expert).transpose();
    const Eigen::Index inner = call.has(3) ? first.cols() : first.cols() / 2;
    Matrix gate = first.leftCols(inner);
    const Matrix up =
        call.has(3) ? Matrix(mine * matrix_of(call, 3, expert).transpose()) : Matrix(first.rightCols(inner));
    gate = gate.unaryExpr([&](double value) { return activate(activation, value); }).cwiseProduct(up);
    const Matrix made = gate * matrix_of(call, 4, expert).transpose();
    for (std::size_t i = 0; i < taken.size(); ++i) {
      const double weight = routing.reals[static_cast<std::size_t>(taken[i] * experts + expert)];
      sums.row(taken[i]) += weight * made.row(static_cast<Eigen::Index>(i));
    }
  }
  return out;
}

}  // namespace onnxport::reference
