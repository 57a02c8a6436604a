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
    if (taken.empty()) continue;  // nor are its weights loaded
    const std::size_t first = static_cast<std::size_t>(2 + 3 * expert);
    const Matrix mine = tokens(taken, Eigen::all);
    Matrix gate = mine * Stack(call.input(first)).at(0).transpose();
    const Matrix up = mine * Stack(call.input(first + 1)).at(0).transpose();
    gate = gate.unaryExpr([&](double value) { return activate(activation, value); }).cwiseProduct(up);
    const Matrix made = gate * Stack(call.input(first + 2)).at(0).transpose();
    for (std::size_t i = 0; i < taken.size(); ++i) {
      const double weight = routing.reals[static_cast<std::size_t>(taken[i] * experts + expert)];
      sums.row(taken[i]) += weight * made.row(static_cast<Eigen::Index>(i));
    }
  }
  return out;
}

}  // namespace onnxport::reference
