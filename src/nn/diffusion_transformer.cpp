#include "onnxport/nn/diffusion_transformer.h"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "onnxport/error.h"
#include "onnxport/nn/timestep.h"
#include "onnxport/nn/vision.h"

namespace onnxport::nn {

LatentPatches::LatentPatches(const Scope& s, std::int64_t channels, std::int64_t patch, std::int64_t width)
    : patch_(patch),
      width_(width),
      project_(s / "proj", channels, width, {patch, patch}, true, {.stride = {patch, patch}}) {}

Value LatentPatches::operator()(Value latents) const {
  const Value tokens = image_to_tokens(project_(latents));
  return op::reshape(tokens, {latents.dim(0), rows(latents) * columns(latents), width_});
}

Value assemble_patches(Value tokens, const Dim& rows, const Dim& columns, std::int64_t patch) {
  const Dim& batch = tokens.dim(0);
  const Dim channels = tokens.dim(2).floor_div(patch * patch);
  const Value apart = op::reshape(tokens, {batch, rows, columns, patch, patch, channels});
  const Value together = op::permute(apart, {0, 5, 1, 3, 2, 4});
  return op::reshape(together, {batch, channels, rows * patch, columns * patch});
}

Value grid_sinusoids(Graph& graph, const Dim& rows, const Dim& columns, std::int64_t width, double base) {
  const std::int64_t half = width / 2;
  const auto axis = [&](const Dim& length) {
    const Value places = op::cast(op::arange(graph, length), DType::f32);
    const Value step = op::div(op::cast(op::size(graph, length), DType::f32), base);
    return step_sinusoids(op::div(places, step), {.width = half, .cosines_first = false});
  };
  const Value of_columns = op::expand(op::unsqueeze(axis(columns), 0), {rows, columns, half});
  const Value of_rows = op::expand(op::unsqueeze(axis(rows), 1), {rows, columns, half});
  return op::reshape(op::concat({of_columns, of_rows}, 2), {rows * columns, width});
}

double grid_base(std::int64_t side, double scale, std::int64_t width, std::string_view origin) {
  if (!(scale > 0)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: interpolation_scale is {}, expected more than 0", origin, scale));
  }
  if (width % 4 != 0) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: num_attention_heads * attention_head_dim is {}, expected a multiple of "
                    "4 for sines and cosines of two axes",
                    origin, width));
  }
  return static_cast<double>(side) / scale;
}

op::Rope axes_rope(Value positions, const std::vector<std::int64_t>& sizes, double theta) {
  Graph& graph = positions.graph();
  std::vector<std::int64_t> axis_of_pair;
  std::vector<double> frequencies;
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    for (std::int64_t i = 0; i < sizes[axis]; i += 2) {
      axis_of_pair.push_back(static_cast<std::int64_t>(axis));
      frequencies.push_back(std::pow(theta, -static_cast<double>(i) / static_cast<double>(sizes[axis])));
    }
  }
  const std::int64_t pairs = std::ssize(frequencies);
  const Value by_axis = op::permute(positions, {2, 0, 1});
  const Value by_pair = op::embedding(by_axis, graph.weight(Weight::from_ints({pairs}, axis_of_pair)));
  return {.position_ids = op::permute(by_pair, {1, 2, 0}),
          .frequencies = graph.weight_as_is(Weight::from_doubles(DType::f32, {pairs}, frequencies)),
          .interleaved = true};
}

void check_axes(const std::vector<std::int64_t>& sizes, std::int64_t head_dim, std::string_view key,
                std::string_view origin) {
  bool valid = std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) == head_dim;
  for (const std::int64_t size : sizes) valid = valid && size >= 0 && size % 2 == 0;
  if (valid) return;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} must be even numbers that add up to the size of a head, which is {}",
                                origin, key, head_dim));
}

SharedModulation::SharedModulation(const Scope& s, std::int64_t width)
    : path_(s.path()), linear_(s / "linear", width, kParts * width) {}

Value SharedModulation::operator()(Value condition) const {
  const ModulePath at(condition, path_);
  return op::reshape(linear_(op::silu(condition)), {condition.dim(0), kParts, condition.dim(1)});
}

ModulationTable::ModulationTable(const Scope& s, std::int64_t parts, std::int64_t width)
    : path_(s.path()), parts_(parts), table_(s.weight("scale_shift_table", {parts, width})) {}

std::vector<Value> ModulationTable::operator()(Value shared) const {
  const ModulePath at(shared, path_);
  return op::chunk(op::add(shared, shared.graph().weight(table_)), 1, parts_);
}

Mlp caption_projection(const Scope& s, std::int64_t in, std::int64_t width) {
  return {s.path(), Linear(s / "linear_1", in, width), Linear(s / "linear_2", width, width),
          "gelu_pytorch_tanh"};
}

Value finite_half(Value x) {
  if (x.dtype() != DType::f16) return x;
  const double most = highest(DType::f16);
  return op::clamp(x, -most, most);
}

op::AttentionMask text_mask(Value mask) {
  constexpr double kHidden = -10000;
  const Value hidden = op::sub(1.0, op::cast(mask, mask.graph().float_dtype()));
  return {.bias = op::unsqueeze(op::unsqueeze(op::mul(hidden, kHidden), 1), 1)};
}

}  // namespace onnxport::nn
