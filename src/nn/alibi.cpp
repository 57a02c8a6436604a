#include "onnxport/nn/alibi.h"

#include <cmath>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

// Position of each real token among the real tokens, and 0 for masked ones: int64 [B, P + S].
Value real_positions(const DecoderPass& pass) {
  const Value mask = op::cast(pass.attention_mask(), DType::i64);
  return op::mul(op::sub(op::cumsum(mask, 1), 1.0), mask);
}

Value head_constant(Graph& graph, const Weight& weight) {
  return graph.weight_as_is(weight.cast(graph.float_dtype()));
}

}  // namespace

std::vector<double> alibi_slopes(std::int64_t heads) {
  std::int64_t power_of_two = 1;
  while (2 * power_of_two <= heads) power_of_two *= 2;
  std::vector<double> slopes;
  const auto append = [&](std::int64_t base_heads, std::int64_t step, std::int64_t count) {
    // Computed in float, like the originals.
    const auto base = static_cast<float>(std::pow(2.0, -8.0 / static_cast<double>(base_heads)));
    for (std::int64_t i = 0; i < count; ++i) {
      const auto exponent = static_cast<double>(1 + i * step);
      slopes.push_back(static_cast<float>(std::pow(static_cast<double>(base), exponent)));
    }
  };
  append(power_of_two, 1, power_of_two);
  append(2 * power_of_two, 2, heads - power_of_two);
  return slopes;
}

Value alibi(const DecoderPass& pass, std::int64_t heads) {
  Graph& graph = pass.graph();
  const ModulePath at(graph, "alibi");
  const Value positions = op::cast(real_positions(pass), graph.float_dtype());
  const Value keys = op::reshape(positions, {positions.dim(0), 1, 1, positions.dim(1)});
  return op::mul(keys,
                 head_constant(graph, Weight::from_doubles(DType::f32, {heads, 1, 1}, alibi_slopes(heads))));
}

Value alibi_bfloat16(const DecoderPass& pass, std::int64_t heads) {
  constexpr std::int64_t kExact = 256;  // bfloat16 holds integers up to here
  constexpr int kOctaves = 24;          // positions up to 2^32
  Graph& graph = pass.graph();
  const ModulePath at(graph, "alibi");
  const Value positions = real_positions(pass);

  // The unit in the last place of each position, in bfloat16.
  std::vector<std::int64_t> thresholds;
  for (int octave = 0; octave < kOctaves; ++octave) thresholds.push_back(kExact << octave);
  const Value steps = graph.weight_as_is(Weight::from_ints({kOctaves}, thresholds));
  const Value reached = op::cast(op::ge(op::unsqueeze(positions, 2), steps), DType::i64);
  const Value octaves = op::sum(reached, 2);
  const Value exponent = op::cast(octaves, DType::f32);
  const Value unit = op::pow(op::scalar(graph, 2.0, DType::f32), exponent);
  const Value mantissa = op::cast(op::round(op::div(op::cast(positions, DType::f32), unit)), DType::i64);

  // table[m, head] = bf16(bf16(slope) * m)
  const Weight slopes = Weight::from_doubles(DType::bf16, {1, heads}, alibi_slopes(heads));
  std::vector<double> mantissas;
  for (std::int64_t m = 0; m <= kExact; ++m) mantissas.push_back(static_cast<double>(m));
  const Weight column = Weight::from_doubles(DType::bf16, {kExact + 1, 1}, mantissas);
  const Weight table = slopes.mul(column).cast(DType::f32);
  const Value products = op::embedding(graph.weight_as_is(table), mantissa);  // [B, P + S, heads]
  const Value scaled = op::mul(products, op::unsqueeze(unit, 2));
  const Value by_head = op::permute(scaled, {0, 2, 1});
  return op::cast(op::unsqueeze(by_head, 2), graph.float_dtype());
}

}  // namespace onnxport::nn
