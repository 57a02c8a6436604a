#include "onnxport/signal_ops.h"

#include <utility>

#include "onnxport/index_ops.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op_samples.h"

namespace onnxport::test {

std::vector<OpSample> with_signal_samples(std::vector<OpSample> samples) {
  const Dim N = Dim::symbol("N"), M = Dim::symbol("M");
  const auto add = [&](Op op, const std::string& name, DType dtype, const auto& result) {
    samples.push_back({op, name + "_" + std::string(short_name(dtype)), dtype,
                       [=](Graph& graph) { graph.output("y", result(graph, dtype)); }});
  };
  for (const DType dtype : {DType::f32, DType::f16}) {
    add(Op::pad, "pad_reflect", dtype, [=](Graph& g, DType d) {
      const Value x = g.input("x", {d, {N, 2, M + 3}});
      const Dim even = (M + 1).floor_div(2) * 2 - M;
      return op::pad(x, {0, 1, 3}, {0, 0, even}, op::PadMode::reflect);
    });
    add(Op::pad, "pad_edge", dtype, [=](Graph& g, DType d) {
      return op::pad(g.input("x", {d, {N, 2, M}}), {0, 0, 3}, {0, 2, M}, op::PadMode::edge);
    });
    add(Op::conv_transpose, "conv_transpose1d", dtype, [=](Graph& g, DType d) {
      const Value x = g.input("x", {d, {N, 4, M + 1}}), weight = g.input("weight", {d, {4, 3, 4}});
      return op::conv_transpose1d(x, weight, g.input("bias", {d, {6}}),
                                  {.stride = {3}, .padding = {1, 0}, .groups = 2});
    });
  }
  add(Op::arange, "arange_of_data", DType::f32, [=](Graph& g, DType d) {
    const Value x = g.input("x", {d, {N, M}});
    const Dim K = Dim::symbol("K");
    const Value count = op::add(op::size(g, M), 2.0);
    const Value places = op::unsqueeze(op::cast(op::arange(count, K), d), 1);
    const Value all = op::expand(places, {K, N});
    return op::add(op::reshape(all, {K * N, 1}), op::mean(op::flatten(x, 0, 1), 0, true));
  });
  add(Op::nonzero, "nonzero", DType::f32, [=](Graph& g, DType d) {
    const Value x = g.input("x", {d, {N, M}});
    const Value positive = op::gt(op::mean(x, 1), 0.0);
    const Value first = op::eq(op::arange(g, N), 0.0);
    const Value chosen = op::logical_or(positive, first);
    const Value places = op::nonzero(chosen, Dim::symbol("K"));
    return op::embedding(x, places);
  });
  return samples;
}

}  // namespace onnxport::test
