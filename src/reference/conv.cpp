// Convolutions, as matrix products (Chellapilla et al. 2006), and pooling.
#include <algorithm>
#include <limits>

#include "reference/matrix_view.h"

namespace onnxport::reference {
namespace {

// The input position of one kernel weight, for every output position.
struct Taps {
  Extents in, in_strides, out;
  Extents stride, first;  // the input index of output 0; zeros outside [0, in)

  // Appends the values at all output positions of the axes from `axis` on; zeros if `from` is null.
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
    multiply_in_parts(ConstMatrixView(weights, outputs, inputs * window), columns, result);
    if (call.has(2)) {
      const double* bias = call.input(2).reals.data() + group * outputs;
      result.colwise() += Eigen::Map<const Eigen::VectorXd>(bias, outputs);
    }
  }
  return out;
}

// The transpose of a convolution from the result to the input: every element adds a scaled kernel to the
// result.
// With one spatial axis, an image of one row.
Results interpret_conv_transpose(const Call& call) {
  const HostTensor& x = call.input(0);
  const HostTensor& weight = call.input(1);
  Extents stride = call.node.attrs.get<Extents>("stride");
  Extents padding = call.node.attrs.get<Extents>("padding");
  Extents dilation = call.node.attrs.get<Extents>("dilation");
  const bool flat = stride.size() == 1;
  if (flat) {
    stride = {1, stride[0]};
    padding = {0, padding[0], 0, padding[1]};
    dilation = {1, dilation[0]};
  }
  const std::int64_t groups = call.node.attrs.integer("groups");
  const std::int64_t inputs = weight.shape[0] / groups, outputs = weight.shape[1];
  const std::int64_t rows = flat ? 1 : x.shape[2], columns = x.shape.back();
  const std::int64_t kh = flat ? 1 : weight.shape[2], kw = weight.shape.back();
  const std::int64_t height = (rows - 1) * stride[0] + dilation[0] * (kh - 1) + 1 - padding[0] - padding[2];
  const std::int64_t width = (columns - 1) * stride[1] + dilation[1] * (kw - 1) + 1 - padding[1] - padding[3];
  if (height < 0 || width < 0) reject(call.node, "the result would be {} by {}", height, width);
  Extents shape = {x.shape[0], groups * outputs, height, width};
  if (flat) shape.erase(shape.begin() + 2);
  HostTensor out = make_tensor(call.dtype(), std::move(shape));

  Matrix spread(outputs * kh * kw, rows * columns);
  for (std::int64_t part = 0; part < x.shape[0] * groups; ++part) {
    const std::int64_t group = part % groups;
    const ConstMatrixView weights(weight.reals.data() + group * inputs * outputs * kh * kw, inputs,
                                  outputs * kh * kw);
    const ConstMatrixView image(x.reals.data() + part * inputs * rows * columns, inputs, rows * columns);
    const Matrix turned = weights.transpose();
    multiply_in_parts(turned, image, MatrixView(spread.data(), spread.rows(), spread.cols()));
    double* to = out.reals.data() + part * outputs * height * width;
    for (std::int64_t tap = 0; tap < spread.rows(); ++tap) {
      double* plane = to + tap / (kh * kw) * height * width;
      const std::int64_t top = tap / kw % kh * dilation[0] - padding[0];
      const std::int64_t left = tap % kw * dilation[1] - padding[1];
      for (std::int64_t i = 0; i < rows * columns; ++i) {
        const std::int64_t row = top + i / columns * stride[0], column = left + i % columns * stride[1];
        if (row >= 0 && row < height && column >= 0 && column < width)
          plane[row * width + column] += spread(tap, i);
      }
    }
    if (!call.has(2)) continue;
    const double* bias = call.input(2).reals.data() + group * outputs;
    MatrixView(to, outputs, height * width).colwise() += Eigen::Map<const Eigen::VectorXd>(bias, outputs);
  }
  return out;
}

Results interpret_max_pool(const Call& call) {
  const HostTensor& x = call.input(0);
  const auto& kernel = call.node.attrs.get<Extents>("kernel");
  const auto& stride = call.node.attrs.get<Extents>("stride");
  const auto& padding = call.node.attrs.get<Extents>("padding");
  const auto& dilation = call.node.attrs.get<Extents>("dilation");
  Extents shape = {x.shape[0], x.shape[1]};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t room = x.shape[i + 2] + padding[i] + padding[i + 2] - dilation[i] * (kernel[i] - 1);
    if (room < 1) reject(call.node, "axis {} of extent {} is shorter than the kernel", i + 2, x.shape[i + 2]);
    shape.push_back((room - 1) / stride[i] + 1);
  }
  HostTensor out = make_tensor(call.dtype(), std::move(shape));
  const std::int64_t rows = x.shape[2], columns = x.shape[3];
  double* to = out.reals.data();
  for (std::int64_t plane = 0; plane < x.shape[0] * x.shape[1]; ++plane) {
    const double* from = x.reals.data() + plane * rows * columns;
    for (std::int64_t i = 0; i < out.shape[2]; ++i) {
      for (std::int64_t j = 0; j < out.shape[3]; ++j) {
        double largest = -std::numeric_limits<double>::infinity();
        for (std::int64_t tap = 0; tap < kernel[0] * kernel[1]; ++tap) {
          const std::int64_t row = i * stride[0] + tap / kernel[1] * dilation[0] - padding[0];
          const std::int64_t column = j * stride[1] + tap % kernel[1] * dilation[1] - padding[1];
          if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
          largest = std::max(largest, from[row * columns + column]);
        }
        *to++ = largest;
      }
    }
  }
  return out;
}

}  // namespace onnxport::reference
