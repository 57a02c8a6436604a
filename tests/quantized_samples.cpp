#include <string>
#include <utility>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/quantized.h"
#include "op_samples.h"

namespace onnxport::test {

std::vector<OpSample> with_quantized_samples(std::vector<OpSample> samples) {
  const Dim N = Dim::symbol("N"), M = Dim::symbol("M");
  samples.push_back({Op::dynamic_quantize, "dynamic_quantize", DType::f32, [=](Graph& graph) {
                       const Value x = graph.input("x", {DType::f32, {N, M, 3}});
                       graph.output("y", op::dynamic_quantize(x));
                     }});
  samples.push_back({Op::dynamic_quantize, "dynamic_quantize_product", DType::f32, [=](Graph& graph) {
                       const Value a = op::dynamic_quantize(graph.input("a", {DType::f32, {N, 2, M, 4}}));
                       const Value b = graph.input("b", {DType::f32, {N, 2, 4, M}});
                       graph.output("y", op::matmul(a, op::dynamic_quantize(b)));
                     }});
  for (const DType index : {DType::i64, DType::i32}) {
    samples.push_back(
        {Op::index_select, "index_select_" + std::string(to_string(index)), index, [=](Graph& graph) {
           const Value x = graph.input("x", {DType::f32, {N, M, 4}});
           const Value ids = op::minimum(op::abs(graph.input("ids", {index, {M}})), 3.0);
           graph.output("y", op::index_select(x, ids));
         }});
  }
  return samples;
}

}  // namespace onnxport::test
