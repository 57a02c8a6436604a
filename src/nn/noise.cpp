#include "onnxport/nn/noise.h"

#include <numbers>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

constexpr std::int64_t kPrime = (std::int64_t{1} << 31) - 1;  // squares of smaller numbers fit into 62 bits

Value modulo(Value x) {
  const Value whole = op::mul(op::div(x, static_cast<double>(kPrime)), static_cast<double>(kPrime));
  return op::sub(x, whole);
}

}  // namespace

// Squares break the order of the places, and what is left of a division keeps them apart.
Value uniform_noise(Value places, std::int64_t seed) {
  constexpr std::int64_t kFactors[] = {48271, 69621, 16807};
  Value x = modulo(op::add(places, static_cast<double>(1 + seed * 7919)));
  for (const std::int64_t factor : kFactors) {
    x = modulo(op::mul(x, static_cast<double>(factor)));
    const Value moved = op::add(x, static_cast<double>(factor + seed));
    x = modulo(op::mul(moved, moved));
  }
  // 22 bits and a half are exact in float32, and neither 0 nor 1.
  const Value bits = op::cast(op::div(x, 512.0), DType::f32);
  return op::mul(op::add(bits, 0.5), 1.0 / (1 << 22));
}

Value normal_noise(Graph& graph, const Shape& shape, std::int64_t seed) {
  Value places;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    Shape line(shape.size(), 1);
    line[i] = shape[i];
    const Value along = op::reshape(op::arange(graph, shape[i]), line);
    if (!places) {
      places = along;
      continue;
    }
    const Value size = op::size(graph, shape[i]);
    places = op::add(op::mul(places, size), along);
  }
  const Value first = uniform_noise(places, 2 * seed), second = uniform_noise(places, 2 * seed + 1);
  const Value radius = op::sqrt(op::mul(op::log(first), -2.0));
  const Value angle = op::cos(op::mul(second, 2 * std::numbers::pi));
  return op::mul(radius, angle);
}

}  // namespace onnxport::nn
