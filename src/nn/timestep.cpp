#include "onnxport/nn/timestep.h"

#include <cmath>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

constexpr std::int64_t kSinusoids = 256;  // of SinusoidsEmbedding

}  // namespace

Value step_sinusoids(Value steps, const StepSinusoids& p) {
  const std::int64_t half = p.width / 2;
  // In float32, like the original: steps of up to 1000 multiply every difference of a frequency.
  const auto last = static_cast<float>(static_cast<double>(half) - p.freq_shift);
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(-std::log(10000.0)) * static_cast<float>(i) / last;
    frequencies.push_back(std::exp(static_cast<double>(exponent)));
  }
  Graph& graph = steps.graph();
  const Value row = graph.weight_as_is(Weight::from_doubles(DType::f32, {half}, frequencies));
  const Value angles = op::mul(op::unsqueeze(op::cast(steps, DType::f32), 1), row);
  const Value sines = op::sin(angles);
  const Value cosines = op::cos(angles);
  Value both = p.cosines_first ? op::concat({cosines, sines}, 1) : op::concat({sines, cosines}, 1);
  if (p.width % 2 != 0) both = op::pad(both, {0, 0}, {0, 1});
  return op::cast(both, graph.float_dtype());
}

StepEmbedding::StepEmbedding(const Scope& s, const StepEmbeddingParameters& p)
    : path_(s.path()),
      first_(s / "linear_1", p.in, p.out),
      second_(s / "linear_2", p.out, p.out),
      activation_(p.activation) {
  if (p.condition > 0) condition_ = (s / "cond_proj").weight("weight", {p.in, p.condition});
}

Value StepEmbedding::operator()(Value x, Value condition) const {
  const ModulePath at(x, path_);
  if (condition_) {
    const Value projected = op::linear(condition, x.graph().weight(condition_));
    x = op::add(x, projected);
  }
  return second_(activation_(first_(x)));
}

SinusoidsEmbedding::SinusoidsEmbedding(const Scope& s, std::int64_t width)
    : embedding_(s, {.in = kSinusoids, .out = width}) {}

Value SinusoidsEmbedding::operator()(Value numbers) const {
  return embedding_(step_sinusoids(numbers, {.width = kSinusoids}));
}

}  // namespace onnxport::nn
