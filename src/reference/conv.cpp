// Convolutions, as matrix products (Chellapilla et al. 2006).
#include <algorithm>

#include "reference/matrix_view.h"

namespace onnxport::reference {
namespace {

// Where one weight of the kernel falls, for every output position.
struct Taps {
  Extents in, in_strides, out;
  Extents stride, first;  // the input index of output 0; outside of [0, in) lie zeros

  // Appends the values at all output positions of the axes from `axis` on; zeros where `from` is null.
  void read(std::size_t axis, const double* from, double*& to) const {
    if (axis == in.size()) {
      *to++ = from == nullptr ? 0 : *from;
      return;
    }
    for (std::int64_t o = 0; o < out[axis]; ++o) {
      const std::int64_t i = first[axis] + o * stride[axis];
      const bool inside = from != nullptr && i >= 0 && i < in[axis];
      read(axis + 1, inside ? from + i * in_strides[axis] : nullptr, to);
    }
  }
};

}  // namespace

Results interpret_conv(const Call& call) {
  const HostTensor& x = call.input(0);
  const HostTensor& weight = call.input(1);
  const auto& padding = call.node.attrs.get<std::vector<std::int64_t>>("padding");
  const auto& dilation = call.node.attrs.get<std::vector<std::int64_t>>("dilation");
  const std::int64_t groups = call.node.attrs.integer("groups");
  const std::size_t spatial = dilation.size();
  const Extents kernel(weight.shape.begin() + 2, weight.shape.end());
  Taps taps{.in = Extents(x.shape.begin() + 2, x.shape.end()),
            .in_strides = {},
            .out = {},
            .stride = call.node.attrs.get<std::vector<std::int64_t>>("stride"),
            .first = Extents(spatial)};
  taps.in_strides = row_major_strides(taps.in);
  for (std::size_t i = 0; i < spatial; ++i) {
    const std::int64_t room = taps.in[i] + padding[i] + padding[i + spatial] - dilation[i] * (kernel[i] - 1);
    if (room < 1) reject(call.node, "axis {} of extent {} is shorter than the kernel", i + 2, taps.in[i]);
    taps.out.push_back((room - 1) / taps.stride[i] + 1);
  }
  Extents shape = {x.shape[0], weight.shape[0]};
  shape.insert(shape.end(), taps.out.begin(), taps.out.end());
  HostTensor out = make_tensor(call.dtype(), std::move(shape));

  const std::int64_t inputs = weight.shape[1], outputs = weight.shape[0] / groups;
  const std::int64_t plane = product(taps.in), positions = product(taps.out), window = product(kernel);
  Matrix columns(inputs * window, positions);
  for (std::int64_t part = 0; part < x.shape[0] * groups; ++part) {
    double* to = columns.data();
    for (std::int64_t row = 0; row < inputs * window; ++row) {
      std::int64_t at = row % window;
      for (std::size_t i = spatial; i-- > 0; at /= kernel[i])
        taps.first[i] = at % kernel[i] * dilation[i] - padding[i];
      taps.read(0, x.reals.data() + (part * inputs + row / window) * plane, to);
    }
    const std::int64_t group = part % groups;
    const double* weights = weight.reals.data() + group * outputs * inputs * window;
    MatrixView result(out.reals.data() + part * outputs * positions, outputs, positions);
    multiply(ConstMatrixView(weights, outputs, inputs * window), columns, result);
    if (call.has(2)) {
      const double* bias = call.input(2).reals.data() + group * outputs;
      result.colwise() += Eigen::Map<const Eigen::VectorXd>(bias, outputs);
    }
  }
  return out;
}

}  // namespace onnxport::reference
