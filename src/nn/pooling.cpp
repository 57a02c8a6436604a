#include "onnxport/nn/pooling.h"

#include <vector>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

// A kernel of one value for each channel: [channels, 1, height, width].
Weight filled(std::int64_t channels, const KernelSize& kernel, double value) {
  const std::vector<double> one(static_cast<std::size_t>(kernel.height * kernel.width), value);
  const std::vector<std::int64_t> first(static_cast<std::size_t>(channels), 0);
  const Weight row = Weight::from_doubles(DType::f32, {1, 1, kernel.height, kernel.width}, one);
  return channels == 1 ? row : row.take(Weight::from_ints({channels}, first));
}

// 1 for the elements that belong to a part, else 0.
Weight memberships(std::int64_t to, std::int64_t from) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < to; ++i) {
    for (std::int64_t j = 0; j < from; ++j)
      values.push_back((j + 1) * to > i * from && j * to < (i + 1) * from);
  }
  return Weight::from_doubles(DType::f32, {to, from}, values);
}

Value memberships(Graph& graph, std::int64_t to, const Dim& from) {
  if (from.is_constant()) return graph.weight_as_is(memberships(to, *from.constant()));
  const Value length = op::size(graph, from);
  const Value begins = op::unsqueeze(op::mul(op::arange(graph, to), length), 1);
  const Value ends = op::add(begins, length);
  const Value elements = op::mul(op::arange(graph, from), static_cast<double>(to));
  const Value behind_begin = op::gt(op::add(elements, static_cast<double>(to)), begins);
  const Value before_end = op::lt(elements, ends);
  return op::cast(op::logical_and(behind_begin, before_end), DType::f32);
}

}  // namespace

Value average_pool2d(Value x, const AveragePoolParameters& p) {
  Graph& graph = x.graph();
  const std::int64_t channels = *x.dim(1).constant();
  const auto sums = [&](Value image, std::int64_t count, double factor) {
    const Value kernel = graph.weight(filled(count, p.kernel, factor));
    return op::conv2d(image, kernel, {},
                      {.stride = {p.stride.height, p.stride.width},
                       .padding = {p.padding.height, p.padding.width},
                       .groups = count});
  };
  const bool padded = p.padding.height > 0 || p.padding.width > 0;
  if (p.count_padding || !padded)
    return sums(x, channels, 1.0 / static_cast<double>(p.kernel.height * p.kernel.width));
  const Value one = op::reshape(op::scalar(graph, 1.0, x.dtype()), {1, 1, 1, 1});
  const Value counts = sums(op::expand(one, {1, 1, x.dim(2), x.dim(3)}), 1, 1.0);
  return op::div(sums(x, channels, 1.0), counts);
}

Value averaging_matrix(Graph& graph, std::int64_t to, const Dim& from) {
  const Value members = memberships(graph, to, from);
  return op::div(members, op::sum(members, 1, true));
}

Value adaptive_average_pool2d(Value x, std::int64_t rows, std::int64_t columns) {
  Graph& graph = x.graph();
  const Value across = op::cast(averaging_matrix(graph, columns, x.dim(3)), x.dtype());
  const Value narrow = op::matmul(x, op::transpose(across, 0, 1));
  const Value down = op::cast(averaging_matrix(graph, rows, x.dim(2)), x.dtype());
  return op::matmul(down, narrow);
}

}  // namespace onnxport::nn
