// Samples of what the options of an interface need: the last elements of an axis, attention with its weights.
#include <fmt/format.h>

#include <utility>

#include "onnxport/index_ops.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op_samples.h"

namespace onnxport::test {
namespace {

const Dim N = Dim::symbol("N"), M = Dim::symbol("M"), K = Dim::symbol("K");

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

// Rows of which only the last ones are needed, and a layer that reads the new extent.
Value last_rows(Graph& g, DType d) {
  const Value x = input(g, "x", d, {N, M, 4});
  const Value count = op::abs(input(g, "count", DType::i64, {}));
  return op::linear(op::tail(x, 1, count, K), input(g, "w", d, {6, 4}));
}

// Output, keys and weights of an attention in one vector.
Value attention_with_weights(Graph& g, DType d, std::int64_t kv_heads, op::AttentionMask mask,
                             const op::AttentionOptions& options, bool sinks) {
  op::AttentionOperands in{.query = input(g, "q", d, {N, M, 32}),
                           .key = input(g, "k", d, {N, M, 8 * kv_heads}),
                           .value = input(g, "v", d, {N, M, 8 * kv_heads}),
                           .past_key = input(g, "past_key", d, {N, kv_heads, 3, 8}),
                           .past_value = input(g, "past_value", d, {N, kv_heads, 3, 8}),
                           .mask = std::move(mask)};
  if (sinks) in.sinks = input(g, "sinks", d, {4});
  const op::AttentionResults made = op::attention(in, 4, kv_heads, options);
  std::vector<Value> flat;
  for (const Value& one : {made.output, made.key, made.weights})
    flat.push_back(op::flatten(one, 0, one.rank() - 1));
  return op::concat(flat, 0);
}

}  // namespace

std::vector<OpSample> with_interface_samples(std::vector<OpSample> samples) {
  add(samples, Op::tail, "tail", last_rows);
  for (const std::int64_t kv_heads : {2, 4}) {
    for (const bool sinks : {false, true}) {
      add(samples, Op::attention, fmt::format("attention_weights_{}{}", kv_heads, sinks ? "_sinks" : ""),
          [=](Graph& g, DType d) {
            return attention_with_weights(g, d, kv_heads, {.causal = true, .window = 3},
                                          {.scale = 0.1, .softcap = 2, .weights = true}, sinks);
          });
    }
    for (const op::NoKeys no_keys : {op::NoKeys::zero, op::NoKeys::uniform}) {
      const char* name = no_keys == op::NoKeys::zero ? "zero" : "uniform";
      add(samples, Op::attention, fmt::format("attention_weights_{}_{}", kv_heads, name),
          [=](Graph& g, DType d) {
            op::AttentionMask mask{.padding = input(g, "padding", DType::boolean, {N, M + 3}),
                                   .bias = input(g, "bias", d, {4, 1, M + 3}),
                                   .causal = true,
                                   .no_keys = no_keys};
            return attention_with_weights(g, d, kv_heads, mask, {.scale = 0.1, .weights = true}, false);
          });
    }
  }
  return with_image_samples(std::move(samples));
}

}  // namespace onnxport::test
