// Samples of reading images at places.
#include <fmt/format.h>

#include "onnxport/index_ops.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op_samples.h"

namespace onnxport::test {
namespace {

const Dim N = Dim::symbol("N"), M = Dim::symbol("M");

}  // namespace

std::vector<OpSample> with_image_samples(std::vector<OpSample> samples) {
  for (const DType dtype : {DType::f32, DType::f16}) {
    for (const char* mode : {"bilinear", "nearest"}) {
      for (const char* padding : {"zeros", "border"}) {
        for (const bool align_corners : {false, true}) {
          const auto build = [=](Graph& graph) {
            const Value x = graph.input("x", {dtype, {N, 3, M, 4}});
            // Some are outside of the image, a few of them far away.
            const Value places = graph.input("places", {DType::f32, {N, M + 1, 5, 2}});
            const Value near = op::mul(places, 0.375);
            const Value far = op::mul(op::cast(op::gt(places, 3.75), DType::f32), 1e6);
            graph.output("y", op::grid_sample(x, op::add(near, far), mode, padding, align_corners));
          };
          samples.push_back({Op::grid_sample,
                             fmt::format("grid_sample_{}_{}{}_{}", mode, padding,
                                         align_corners ? "_aligned" : "", short_name(dtype)),
                             dtype, build});
        }
      }
    }
  }
  return samples;
}

}  // namespace onnxport::test
