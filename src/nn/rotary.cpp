#include "onnxport/nn/rotary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

// Frequencies are computed in float, like the originals, because the difference matters at position 100,000.
using Floats = std::vector<float>;

Floats exponents(std::int64_t dim) {
  Floats result;
  for (std::int64_t i = 0; i < dim; i += 2) result.push_back(static_cast<float>(i) / static_cast<float>(dim));
  return result;
}

float power(double base, float exponent) {
  return static_cast<float>(std::pow(base, static_cast<double>(exponent)));
}

Floats default_frequencies(const RopeParameters& p) {
  Floats result = exponents(p.dim);
  for (float& value : result) value = 1.0F / power(p.theta, value);
  return result;
}

Floats proportional_frequencies(const RopeParameters& p) {
  Floats result = default_frequencies(p);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const bool turns = static_cast<std::int64_t>(i) < p.turning / 2;
    result[i] = turns ? result[i] / static_cast<float>(p.factor) : 0.0F;
  }
  return result;
}

Floats llama3_frequencies(const RopeParameters& p) {
  Floats result = default_frequencies(p);
  const auto length = static_cast<double>(p.original_max_position_embeddings);
  const auto longest = static_cast<float>(length / p.low_freq_factor);
  const auto shortest = static_cast<float>(length / p.high_freq_factor);
  for (float& frequency : result) {
    const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
    const float scaled = frequency / static_cast<float>(p.factor);
    if (wavelength > longest) {
      frequency = scaled;
    } else if (wavelength >= shortest) {
      const float smooth = (static_cast<float>(length) / wavelength - static_cast<float>(p.low_freq_factor)) /
                           static_cast<float>(p.high_freq_factor - p.low_freq_factor);
      frequency = (1 - smooth) * scaled + smooth * frequency;
    }
  }
  return result;
}

Floats yarn_frequencies(const RopeParameters& p) {
  const auto dim = static_cast<double>(p.dim);
  // The dimension that makes this many turns over the original length.
  const auto correction = [&](double rotations) {
    const auto length = static_cast<double>(p.original_max_position_embeddings);
    return dim * std::log(length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(p.theta));
  };
  double low = correction(p.beta_fast);
  double high = correction(p.beta_slow);
  if (p.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  Floats result = exponents(p.dim);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const float turns = power(p.theta, result[i]);
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0F, 1.0F);
    const float extrapolated = 1.0F / turns;
    const float interpolated = 1.0F / (static_cast<float>(p.factor) * turns);
    const float keep = 1 - ramp;
    result[i] = interpolated * (1 - keep) + extrapolated * keep;
  }
  return result;
}

Floats longrope_frequencies(const RopeParameters& p, const std::vector<double>& factors) {
  Floats result = exponents(p.dim);
  for (std::size_t i = 0; i < result.size(); ++i)
    result[i] = 1.0F / (static_cast<float>(factors[i]) * power(p.theta, result[i]));
  return result;
}

Value constant(Graph& graph, const Floats& values) {
  const std::vector<double> wide(values.begin(), values.end());
  return graph.weight_as_is(
      Weight::from_doubles(DType::f32, {static_cast<std::int64_t>(wide.size())}, wide, "inv_freq"));
}

// Largest position of all rows, float32 [1].
Value largest(Value position_ids) {
  const Value all = op::flatten(position_ids, 0, static_cast<int>(position_ids.rank()) - 1);
  return op::cast(op::amax(all, 0, true), DType::f32);
}

}  // namespace

std::vector<std::int64_t> axes_in_turns(const std::vector<std::int64_t>& sections, std::int64_t pairs) {
  std::vector<std::int64_t> axes;
  for (std::int64_t i = 0; i < pairs; ++i) {
    const auto axis = static_cast<std::size_t>(i % 3);
    axes.push_back(axis < sections.size() && i / 3 < sections[axis] ? i % 3 : 0);
  }
  return axes;
}

RotaryEmbedding::RotaryEmbedding(std::string path, RopeParameters p)
    : path_(std::move(path)), parameters_(std::move(p)) {
  constexpr std::string_view known[] = {"default", "linear",   "dynamic",     "llama3",
                                        "yarn",    "longrope", "proportional"};
  if (std::find(std::begin(known), std::end(known), parameters_.type) == std::end(known)) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("rope type '{}' is unknown, expected one of default, linear, dynamic, llama3, "
                    "yarn, longrope, proportional",
                    parameters_.type));
  }
  if (parameters_.dim < 2 || parameters_.dim % 2 != 0) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{} elements of a head are rotated, expected an even number", parameters_.dim));
  }
  if (!parameters_.axes.empty() &&
      static_cast<std::int64_t>(parameters_.axes.size()) != parameters_.dim / 2) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("mrope_section covers {} pairs of a head, expected {}",
                                  parameters_.axes.size(), parameters_.dim / 2));
  }
  if (parameters_.type != "longrope") return;
  for (const auto* factors : {&parameters_.short_factor, &parameters_.long_factor}) {
    if (static_cast<std::int64_t>(factors->size()) != parameters_.dim / 2) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("longrope has {} factors, expected {} (half of the "
                                    "rotated elements of a head)",
                                    factors->size(), parameters_.dim / 2));
    }
  }
}

Value RotaryEmbedding::frequencies(Value position_ids) const {
  Graph& graph = position_ids.graph();
  const RopeParameters& p = parameters_;
  if (p.type == "proportional") return constant(graph, proportional_frequencies(p));
  if (p.type == "llama3") return constant(graph, llama3_frequencies(p));
  if (p.type == "yarn") return constant(graph, yarn_frequencies(p));
  if (p.type == "longrope") {
    const Value usual = constant(graph, longrope_frequencies(p, p.short_factor));
    const Value stretched = constant(graph, longrope_frequencies(p, p.long_factor));
    const auto original = static_cast<double>(p.original_max_position_embeddings);
    const Value beyond = op::gt(largest(position_ids), original - 1);
    return op::where(beyond, stretched, usual);
  }
  Floats values = default_frequencies(p);
  if (p.type == "linear") {
    for (float& value : values) value /= static_cast<float>(p.factor);
  }
  Value base = constant(graph, values);
  if (p.type != "dynamic") return base;
  // theta grows with the length: theta' = theta * growth^(dim / (dim - 2)), so that frequency i shrinks by
  // growth^(2i / (dim - 2)). Up to the trained length growth is 1.
  const auto length = static_cast<double>(p.max_position_embeddings);
  const Value reached = op::maximum(op::add(largest(position_ids), 1.0), length);
  const Value growth = op::sub(op::mul(reached, p.factor / length), p.factor - 1);
  std::vector<double> powers;
  for (std::int64_t i = 0; i < p.dim; i += 2)
    powers.push_back(-static_cast<double>(i) / static_cast<double>(p.dim - 2));
  const Value exponent = graph.weight_as_is(
      Weight::from_doubles(DType::f32, {static_cast<std::int64_t>(powers.size())}, powers));
  return op::mul(base, op::pow(growth, exponent));
}

op::Rope RotaryEmbedding::operator()(Value position_ids) const {
  const ModulePath at(position_ids, path_);
  Value positions = position_ids;
  if (positions.rank() == 3) {
    const std::vector<std::int64_t>& axes = parameters_.axes;
    const Weight axis = Weight::from_ints({static_cast<std::int64_t>(axes.size())}, axes);
    positions = op::permute(op::embedding(positions, positions.graph().weight(axis)), {1, 2, 0});
  }
  return {.position_ids = positions,
          .frequencies = frequencies(position_ids),
          .scale = parameters_.attention_factor,
          .interleaved = parameters_.interleaved};
}

Value turned(Value x, const op::Rope& rope, std::int64_t heads) {
  const ModulePath at(x, "rotary_emb");
  Value position = op::cast(rope.position_ids, DType::f32);
  if (position.rank() == 2) position = op::unsqueeze(position, 2);
  const Value angle = op::mul(position, rope.frequencies);
  // In float32, because half precision would lose positions.
  const auto factor = [&](Value turns) {
    return op::cast(rope.scale == 1 ? turns : op::mul(turns, rope.scale), x.dtype());
  };
  const Value cosine = factor(op::cos(angle));
  const Value sine = factor(op::sin(angle));
  return op::rotary_embedding(x, cosine, sine, heads, rope.interleaved);
}

}  // namespace onnxport::nn
