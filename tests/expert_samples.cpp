// Samples of what some mixtures and their decoders need: experts with biases, attention with sinks.
#include <fmt/format.h>

#include "onnxport/expert_ops.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op_samples.h"

namespace onnxport::test {
namespace {

const Dim N = Dim::symbol("N"), M = Dim::symbol("M");

void add(std::vector<OpSample>& samples, Op op, const std::string& name,
         const std::function<Value(Graph&, DType)>& make) {
  for (const DType dtype : {DType::f32, DType::f16}) {
    samples.push_back({op, fmt::format("{}_{}", name, short_name(dtype)), dtype,
                       [make, dtype](Graph& graph) { graph.output("y", make(graph, dtype)); }});
  }
}

Value input(Graph& graph, const char* name, DType dtype, Shape shape) {
  return graph.input(name, {dtype, std::move(shape)});
}

Value biased_experts(Graph& g, DType d, bool apart, const std::string& activation) {
  const Value x = op::mul(input(g, "x", d, {M, 3}), 0.25);
  const Value chosen = op::cast(input(g, "chosen", DType::boolean, {M, 5}), d);
  const std::int64_t rows = apart ? 4 : 8;
  op::Experts experts;
  experts.gate = input(g, "gate", d, {5, rows, 3});
  if (apart) experts.up = input(g, "up", d, {5, 4, 3});
  experts.down = input(g, "down", d, {5, 3, 4});
  experts.gate_bias = input(g, "gate_bias", d, {5, rows});
  if (apart) experts.up_bias = input(g, "up_bias", d, {5, 4});
  experts.down_bias = input(g, "down_bias", d, {5, 3});
  return op::mixture_of_experts(x, op::mul(chosen, 0.5), experts, activation);
}

Value experts_with(Graph& g, DType d, const char* activation, bool apart) {
  const Value x = op::mul(input(g, "x", d, {M, 3}), 0.25);
  // Booleans are true half of the time: experts without any row occur, and rows without any expert.
  const Value chosen = op::cast(input(g, "chosen", DType::boolean, {M, 5}), d);
  const Value gate = input(g, "gate", d, {5, apart ? 4 : 8, 3});
  const Value up = apart ? input(g, "up", d, {5, 4, 3}) : Value();
  const op::Experts experts{.gate = gate, .up = up, .down = input(g, "down", d, {5, 3, 4})};
  return op::mixture_of_experts(x, op::mul(chosen, 0.5), experts, activation);
}

// Enough experts for groups. With 40 rows, groups of 6 rather than one of all; the first gets no row.
Value grouped_experts(Graph& g, DType d, std::int64_t rows, bool apart) {
  const Value x = op::mul(input(g, "x", d, {rows, 3}), 0.25);
  Value chosen = op::cast(input(g, "chosen", DType::boolean, {rows, 54}), d);
  const Value none = op::mul(op::slice(chosen, 1, 0, 6), 0);
  chosen = op::concat({none, op::slice(chosen, 1, 6, 54)}, 1);
  op::Experts experts;
  experts.gate = input(g, "gate", d, {54, apart ? 4 : 8, 3});
  if (apart) experts.up = input(g, "up", d, {54, 4, 3});
  experts.down = input(g, "down", d, {54, 3, 4});
  experts.down_bias = input(g, "down_bias", d, {54, 3});
  return op::mixture_of_experts(x, op::mul(chosen, 0.5), experts, "silu");
}

Value plain_experts(Graph& g, DType d, const char* activation) {
  const Value x = op::mul(input(g, "x", d, {M, 3}), 0.25);
  const Value chosen = op::cast(input(g, "chosen", DType::boolean, {M, 5}), d);
  op::Experts experts;
  experts.gate = input(g, "first", d, {5, 4, 3});
  experts.down = input(g, "down", d, {5, 3, 4});
  experts.gate_bias = input(g, "first_bias", d, {5, 4});
  return op::mixture_of_experts(x, op::mul(chosen, 0.5), experts, activation);
}

Value attention_with_sinks(Graph& g, DType d, bool padded, std::int64_t kv_heads) {
  op::AttentionOperands in{.query = input(g, "q", d, {N, M, 32}),
                           .key = input(g, "k", d, {N, M, 8 * kv_heads}),
                           .value = input(g, "v", d, {N, M, 8 * kv_heads}),
                           .past_key = input(g, "past_key", d, {N, kv_heads, 3, 8}),
                           .past_value = input(g, "past_value", d, {N, kv_heads, 3, 8})};
  in.mask.causal = true;
  if (padded) in.mask.padding = input(g, "padding", DType::boolean, {N, M + 3});
  if (!padded) in.mask.window = 3;
  in.sinks = input(g, "sinks", d, {4});
  return op::attention(in, 4, kv_heads, {.scale = 0.1}).output;
}

}  // namespace

std::vector<OpSample> with_expert_samples(std::vector<OpSample> samples) {
  for (const bool apart : {false, true}) {
    add(samples, Op::mixture_of_experts,
        apart ? "mixture_of_biased_experts" : "mixture_of_biased_experts_fused",
        [=](Graph& g, DType d) { return biased_experts(g, d, apart, "swiglu_oai"); });
    add(samples, Op::mixture_of_experts,
        apart ? "mixture_of_clamped_experts" : "mixture_of_clamped_experts_fused",
        [=](Graph& g, DType d) { return biased_experts(g, d, apart, "clamped_silu 0.5"); });
  }
  for (const auto& [activation, apart] : {std::pair("silu", true),
                                          {"gelu", true},
                                          {"relu", true},
                                          {"silu", false},
                                          {"gelu_pytorch_tanh", false}}) {
    add(samples, Op::mixture_of_experts,
        fmt::format("mixture_of_experts_{}{}", activation, apart ? "" : "_fused"),
        [activation = activation, apart = apart](Graph& g, DType d) {
          return experts_with(g, d, activation, apart);
        });
  }
  for (const std::int64_t rows : {3, 40}) {
    for (const bool apart : {false, true}) {
      add(samples, Op::mixture_of_experts, fmt::format("mixture_of_groups_{}{}", rows, apart ? "" : "_fused"),
          [=](Graph& g, DType d) { return grouped_experts(g, d, rows, apart); });
    }
  }
  for (const char* activation : {"relu", "relu2", "gelu_pytorch_tanh"}) {
    add(samples, Op::mixture_of_experts, fmt::format("mixture_of_plain_experts_{}", activation),
        [=](Graph& g, DType d) { return plain_experts(g, d, activation); });
  }
  for (const bool padded : {false, true}) {
    for (const std::int64_t kv_heads : {2, 4}) {
      add(samples, Op::attention,
          fmt::format("attention_sinks_{}_{}", padded ? "padded" : "window", kv_heads),
          [=](Graph& g, DType d) { return attention_with_sinks(g, d, padded, kv_heads); });
    }
  }
  return with_interface_samples(std::move(samples));
}

}  // namespace onnxport::test
