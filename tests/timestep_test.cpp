// Sines and cosines of the steps of a diffusion model.
#include "onnxport/nn/timestep.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/ops.h"

namespace onnxport::test {
namespace {

// As torch computes them: exp(-log(10000) * i / 16), in float32 at each step. In double, seven are another
// float, and a step of 1000 times such a difference is seen in the image.
TEST(StepSinusoids, FrequenciesAreThoseOfTheOriginal) {
  const std::vector<float> expected = {0x1p+0F,         0x1.1feb34p-1F,  0x1.43d136p-2F,  0x1.6c310ep-3F,
                                       0x1.999998p-4F,  0x1.ccab82p-5F,  0x1.030dc4p-5F,  0x1.235a72p-6F,
                                       0x1.47ae14p-7F,  0x1.708934p-8F,  0x1.9e7c66p-9F,  0x1.d22a5p-10F,
                                       0x1.0624dcp-10F, 0x1.26d428p-11F, 0x1.4b96c2p-12F, 0x1.74eea6p-13F};
  Graph graph{DType::f32};
  nn::step_sinusoids(graph.input("step", {DType::f32, {1}}), {.width = 32});
  const auto weight = std::ranges::find(graph.nodes(), Op::weight, &Node::op);
  ASSERT_NE(weight, graph.nodes().end());
  const std::vector<double> frequencies = weight->weight.to_doubles();
  EXPECT_EQ(std::vector<float>(frequencies.begin(), frequencies.end()), expected);
}

}  // namespace
}  // namespace onnxport::test
