#include <string>
#include <utility>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op_samples.h"

namespace onnxport::test {
namespace {

const Dim N = Dim::symbol("N");
const Dim M = Dim::symbol("M");

class Samples {
 public:
  explicit Samples(std::vector<OpSample> list) : list_(std::move(list)) {}
  // In both float types, for an image of this shape.
  void add(const std::string& name, const Shape& shape, const std::function<Value(Value)>& pool) {
    for (const DType dtype : {DType::f32, DType::f16}) {
      list_.push_back({Op::max_pool, name + "_" + std::string(short_name(dtype)), dtype,
                       [=](Graph& graph) { graph.output("y", pool(graph.input("x", {dtype, shape}))); }});
    }
  }
  // Integers, of either sign.
  void integers(Op op, const std::string& name, const std::function<Value(Value)>& function) {
    for (const DType dtype : {DType::i64, DType::i32}) {
      list_.push_back({op, name + "_" + std::string(short_name(dtype)), dtype, [=](Graph& graph) {
                         graph.output("y", function(graph.input("x", {dtype, {N, M}})));
                       }});
    }
  }
  std::vector<OpSample> take() { return std::move(list_); }

 private:
  std::vector<OpSample> list_;
};

// All elements are negative, so that zeros around them count.
Value between_zeros(Value x) {
  const Value negative = op::sub(op::neg(op::abs(x)), 1.0);
  return op::pad(negative, {0, 0, 1, 1}, {0, 0, 1, 2});
}

}  // namespace

std::vector<OpSample> with_pooling_samples(std::vector<OpSample> samples) {
  Samples s(std::move(samples));
  s.add("max_pool2d", {N, 3, M + 4, 9}, [](Value x) {
    return op::max_pool2d(x, {3, 2}, {.stride = {2, 1}, .padding = {1, 0, 2, 1}, .dilation = {1, 2}});
  });
  s.add("max_pool2d_bare", {N, 2, M + 2, 5}, [](Value x) { return op::max_pool2d(x, {2, 2}); });
  s.add("max_pool2d_of_zeros", {N, 3, 6, 7},
        [](Value x) { return op::max_pool2d(between_zeros(x), {3, 3}, {.stride = {2, 2}}); });
  s.add("max_pool2d_of_zeros_and_padding", {N, 3, 6, 7}, [](Value x) {
    return op::max_pool2d(between_zeros(x), {3, 3}, {.stride = {2, 2}, .padding = {1, 1}});
  });
  s.integers(Op::div, "quotient_of_sum", [](Value x) { return op::div(op::sum(x, 1, true), 3.0); });
  s.integers(Op::div, "quotients_of_maximum",
             [](Value x) { return op::div(op::add(op::div(op::amax(x, 1, false), 2.0), 1.0), 2.0); });
  return s.take();
}

}  // namespace onnxport::test
