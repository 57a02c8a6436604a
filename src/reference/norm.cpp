// Normalizations.
#include <cmath>
#include <numeric>

#include "reference/call.h"
#include "reference/rounding.h"

namespace onnxport::reference {
namespace {

// Weight and bias of a norm over the last axis; null where absent.
struct Affine {
  const double* weight = nullptr;
  const double* bias = nullptr;

  // `first`: the position of the weight among the operands, followed by the bias if the op has one.
  Affine(const Call& call, std::size_t first, bool has_bias) {
    const auto read = [&](std::size_t i) {
      if (!call.has(i)) return static_cast<const double*>(nullptr);
      if (call.input(i).shape != Extents{call.input(0).shape.back()})
        reject(call.node, "operand {} does not fit", i);
      return call.input(i).reals.data();
    };
    weight = read(first);
    if (has_bias) bias = read(first + 1);
  }
  double operator()(double value, std::int64_t i) const {
    if (weight != nullptr) value *= weight[i];
    return bias != nullptr ? value + bias[i] : value;
  }
};

// f(row of elements, row of results) for all rows of the last axis.
template <class F>
HostTensor by_row(const HostTensor& x, F f) {
  HostTensor out = make_tensor(x.dtype, x.shape);
  const std::int64_t width = x.shape.back();
  const double work = kTranscendental * static_cast<double>(x.numel());
  for_each_part(width == 0 ? 0 : x.numel() / width, work, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::size_t at = static_cast<std::size_t>(row * width), count = static_cast<std::size_t>(width);
      f(std::span(x.reals).subspan(at, count), std::span(out.reals).subspan(at, count));
    }
  });
  return out;
}

double mean_of(std::span<const double> row) {
  return std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(row.size());
}

double mean_square(std::span<const double> row, double center) {
  double squares = 0;
  for (const double value : row) squares += (value - center) * (value - center);
  return squares / static_cast<double>(row.size());
}

// (x - center) / sqrt(mean((x - center)²) + eps), where the center is the mean, or 0 without `centered`.
HostTensor normed(const HostTensor& x, double eps, bool centered, const Affine& affine) {
  return by_row(x, [&](std::span<const double> from, std::span<double> to) {
    const double center = centered ? mean_of(from) : 0;
    const double deviation = std::sqrt(mean_square(from, center) + eps);
    for (std::size_t i = 0; i < from.size(); ++i)
      to[i] = affine((from[i] - center) / deviation, static_cast<std::int64_t>(i));
  });
}

// Operand 0, the bias that belongs to it (the last operand), and operand 1.
HostTensor whole_sum(const Call& call) {
  HostTensor sum = call.input(0);
  const HostTensor& skip = call.input(1);
  const std::size_t last = call.node.inputs.size() - 1;
  const double* bias = call.has(last) ? call.input(last).reals.data() : nullptr;
  const std::size_t width = static_cast<std::size_t>(sum.shape.back());
  const double limit = overflow_limit(call.dtype());
  for (std::size_t i = 0; i < sum.reals.size(); ++i) {
    if (bias != nullptr) sum.reals[i] += bias[i % width];
    sum.reals[i] = limited(sum.reals[i] + skip.reals[i], limit);
  }
  return sum;
}

Results add_norm(const Call& call, bool centered, const Affine& affine) {
  HostTensor sum = whole_sum(call);
  Results results(normed(sum, call.node.attrs.real("eps"), centered, affine));
  results.push_back(std::move(sum));
  return results;
}

}  // namespace

Results interpret_layer_norm(const Call& call) {
  return normed(call.input(0), call.node.attrs.real("eps"), true, Affine(call, 1, true));
}

Results interpret_rms_norm(const Call& call) {
  return normed(call.input(0), call.node.attrs.real("eps"), false, Affine(call, 1, false));
}

Results interpret_add_layer_norm(const Call& call) { return add_norm(call, true, Affine(call, 2, true)); }
Results interpret_add_rms_norm(const Call& call) { return add_norm(call, false, Affine(call, 2, false)); }

Results interpret_group_norm(const Call& call) {
  const HostTensor& x = call.input(0);
  const double* weight = call.has(1) ? call.input(1).reals.data() : nullptr;
  const double* bias = call.has(2) ? call.input(2).reals.data() : nullptr;
  const double eps = call.node.attrs.real("eps");
  const std::int64_t groups = call.node.attrs.integer("groups"), channels = x.shape[1];
  const std::int64_t inner = AxisView(x.shape, 1).inner, width = channels / groups * inner;
  HostTensor out = make_tensor(call.dtype(), x.shape);
  for (std::int64_t row = 0; row < x.shape[0] * groups; ++row) {
    const double* from = x.reals.data() + row * width;
    double* to = out.reals.data() + row * width;
    const double mean = std::accumulate(from, from + width, 0.0) / static_cast<double>(width);
    double squares = 0;
    for (std::int64_t i = 0; i < width; ++i) squares += (from[i] - mean) * (from[i] - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(width) + eps);
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int64_t channel = row % groups * (channels / groups) + i / inner;
      to[i] = (from[i] - mean) / deviation * (weight != nullptr ? weight[channel] : 1.0);
      if (bias != nullptr) to[i] += bias[channel];
    }
  }
  return out;
}

}  // namespace onnxport::reference
