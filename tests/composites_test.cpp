// Composites against their decompositions, in the reference interpreter.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "onnxport/index_ops.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "reference/interpreter.h"
#include "reference/strided.h"

namespace onnxport {
namespace {

using reference::Case;
using reference::Extents;
using reference::HostTensor;
using reference::interpret;

using Reals = std::vector<double>;

// A pseudo-random tensor in [-2, 2), the same on every platform.
Tensor noise(DType dtype, Extents shape, std::uint32_t seed) {
  std::mt19937 random(seed);
  Reals values(static_cast<std::size_t>(reference::product(shape)));
  for (double& value : values) value = static_cast<double>(random()) * 0x1p-30 - 2;
  return Tensor::from_doubles(dtype, std::move(shape), values);
}

// Equal within a tolerance relative to the values, or to `scale` where they are smaller; NaN equals NaN.
void expect_close(const Reals& got, const Reals& expected, double tolerance, double scale) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i]))) continue;
    EXPECT_LE(std::abs(got[i] - expected[i]),
              tolerance * std::max({std::abs(got[i]), std::abs(expected[i]), scale}))
        << "element " << i << ": got " << got[i] << ", expected " << expected[i];
  }
}

// Declares inputs and applies the op to them.
using Sample = std::function<Value(Graph&)>;

std::multimap<Op, Sample> composite_samples() {
  const Dim batch = Dim::symbol("batch"), length = Dim::symbol("length"), keys = Dim::symbol("keys");
  std::multimap<Op, Sample> samples;
  const auto input = [](Graph& graph, const Shape& shape) {
    return graph.input("x" + std::to_string(graph.inputs().size()), {graph.float_dtype(), shape});
  };
  for (const char* approximate : {"none", "tanh"}) {
    samples.emplace(Op::gelu,
                    [=](Graph& graph) { return op::gelu(input(graph, {batch, length}), approximate); });
  }
  samples.emplace(Op::silu, [=](Graph& graph) { return op::silu(input(graph, {batch, length})); });
  samples.emplace(Op::mish, [=](Graph& graph) { return op::mish(input(graph, {batch, length})); });
  for (int parameters = 0; parameters < 4; ++parameters) {
    samples.emplace(Op::layer_norm, [=](Graph& graph) {
      const Value x = input(graph, {batch, length, 6});
      const Value weight = (parameters & 1) != 0 ? input(graph, {6}) : Value();
      const Value bias = (parameters & 2) != 0 ? input(graph, {6}) : Value();
      return op::layer_norm(x, weight, bias, 1e-5);
    });
  }
  for (const std::int64_t groups : {1, 2, 4}) {
    for (const bool affine : {false, true}) {
      samples.emplace(Op::group_norm, [=](Graph& graph) {
        const Value x = input(graph, {batch, 4, length, 3});
        const Value weight = affine ? input(graph, {4}) : Value();
        return op::group_norm(x, groups, weight, affine ? input(graph, {4}) : Value(), 1e-4);
      });
    }
  }
  for (const bool weighted : {false, true}) {
    samples.emplace(Op::rms_norm, [=](Graph& graph) {
      const Value x = input(graph, {batch, length, 6});
      return op::rms_norm(x, weighted ? input(graph, {6}) : Value(), 1e-5);
    });
  }
  for (const bool affine : {false, true}) {
    samples.emplace(Op::add_layer_norm, [=](Graph& graph) {
      const Value x = input(graph, {batch, length, 6}), skip = input(graph, {batch, length, 6});
      const Value weight = affine ? input(graph, {6}) : Value();
      const Value bias = affine ? input(graph, {6}) : Value();
      const op::AddNorm made =
          op::add_layer_norm(x, skip, weight, bias, 1e-5, affine ? input(graph, {6}) : Value());
      return made.normed;
    });
    samples.emplace(Op::add_rms_norm, [=](Graph& graph) {
      const Value x = input(graph, {batch, length, 6}), skip = input(graph, {batch, length, 6});
      const Value weight = affine ? input(graph, {6}) : Value();
      const op::AddNorm made = op::add_rms_norm(x, skip, weight, 1e-5, affine ? input(graph, {6}) : Value());
      return made.normed;
    });
  }
  samples.emplace(Op::quick_gelu,
                  [=](Graph& graph) { return op::quick_gelu(input(graph, {batch, length})); });
  for (const char* approximate : {"none", "tanh"}) {
    samples.emplace(Op::bias_gelu, [=](Graph& graph) {
      const Value x = input(graph, {batch, length, 6});
      return op::bias_gelu(x, input(graph, {6}), approximate);
    });
  }
  for (const bool interleaved : {false, true}) {
    for (const bool apart : {false, true}) {
      for (const std::int64_t pairs : {2, 3}) {
        samples.emplace(Op::rotary_embedding, [=](Graph& graph) {
          const Value x = input(graph, apart ? Shape{batch, 2, length, 6} : Shape{batch, length, 12});
          const Value cos = input(graph, {pairs == 2 ? batch : Dim(1), length, pairs});
          return op::rotary_embedding(x, cos, input(graph, cos.shape()), 2, interleaved);
        });
      }
    }
  }
  // The past is as long as `keys`.
  for (int parts = 0; parts < 256; ++parts) {
    const auto has = [parts](int bit) { return (parts >> bit & 1) != 0; };
    const std::int64_t kv_heads = parts % 3 == 0 ? 1 : parts % 3 == 1 ? 2 : 4;
    samples.emplace(Op::attention, [=](Graph& graph) {
      op::AttentionOperands in{.query = input(graph, {batch, length, 4 * 6}),
                               .key = input(graph, {batch, length, kv_heads * 6}),
                               .value = input(graph, {batch, length, kv_heads * 5})};
      const bool past = has(0);
      if (past) {
        in.past_key = input(graph, {batch, kv_heads, keys, 6});
        in.past_value = input(graph, {batch, kv_heads, keys, 5});
      }
      const Dim total = past ? keys + length : length;
      if (has(1)) in.mask.padding = graph.input("padding", {DType::boolean, {batch, total}});
      if (has(2)) in.mask.visible = graph.input("visible", {DType::boolean, {batch, 1, length, total}});
      if (has(3)) in.mask.bias = input(graph, {1, 4, length, total});
      in.mask.causal = has(4);
      if (has(5)) in.mask.window = 2;
      if (has(6)) in.mask.no_keys = op::NoKeys::uniform;
      if (has(7)) {
        in.rope.position_ids = graph.input("position_ids", {DType::i64, {past ? batch : Dim(1), length}});
        in.rope.frequencies = graph.input("frequencies", {DType::f32, {kv_heads == 1 ? 3 : 2}});
        in.rope.interleaved = has(3);
        in.rope.scale = has(4) ? 1.25 : 1;
      }
      return op::attention(in, 4, kv_heads, {.scale = 0.3, .softcap = past ? 0.0 : 1.5}).output;
    });
  }
  for (const bool apart : {false, true}) {  // keys of another sequence
    samples.emplace(Op::attention, [=](Graph& graph) {
      op::AttentionOperands in{
          .query = input(graph, {batch, length, 12}),
          .key = input(graph, apart ? Shape{batch, 2, keys, 6} : Shape{batch, keys, 12}),
          .value = input(graph, apart ? Shape{batch, 2, keys, 5} : Shape{batch, keys, 10})};
      in.mask.padding = graph.input("padding", {DType::boolean, {batch, keys}});
      in.mask.no_keys = apart ? op::NoKeys::uniform : op::NoKeys::zero;
      return op::attention(in, 2, 2).output;
    });
  }
  for (const bool scaled : {false, true}) {
    samples.emplace(Op::scaled_dot_product_attention, [=](Graph& graph) {
      const Value query = input(graph, {batch, 6, length, 8});
      const Value key = input(graph, {batch, 2, keys, 8});
      const Value value = input(graph, {batch, 2, keys, 5});
      const Value mask = graph.input("mask", {DType::boolean, {batch, 1, length, keys}});
      return op::scaled_dot_product_attention(query, key, value, mask, {.softcap = scaled ? 2.0 : 0.0});
    });
    const std::vector<std::optional<Shape>> masks = {
        {}, {{batch, 1, 1, keys}}, {{batch, 3, length, keys}}, {{length, keys}}};
    for (const std::optional<Shape>& mask_shape : masks) {
      for (const bool boolean : {false, true}) {
        samples.emplace(Op::scaled_dot_product_attention, [=](Graph& graph) {
          const Value query = input(graph, {batch, 3, length, 8});
          const Value key = input(graph, {batch, 3, keys, 8});
          const Value value = input(graph, {batch, 3, keys, 5});
          Value mask;
          if (mask_shape)
            mask = graph.input("mask", {boolean ? DType::boolean : graph.float_dtype(), *mask_shape});
          op::AttentionOptions options;
          if (scaled) options.scale = 0.25;
          return op::scaled_dot_product_attention(query, key, value, mask, options);
        });
      }
    }
  }
  for (const char* mode : {"bilinear", "nearest"}) {
    for (const char* padding : {"zeros", "border"}) {
      for (const bool align_corners : {false, true}) {
        samples.emplace(Op::grid_sample, [=](Graph& graph) {
          const Value x = input(graph, {batch, 3, keys + 1, 4});
          const Value grid = input(graph, {batch, length, 5, 2});
          return op::grid_sample(x, grid, mode, padding, align_corners);
        });
      }
    }
  }
  return samples;
}

std::set<Op> composites() {
  std::set<Op> ops;
#define ONNXPORT_COMPOSITE(name) ops.insert(Op::name);
#include "onnxport/ops.def"
  return ops;
}

// Random inputs of a graph whose symbols have these values.
Case random_case(const Graph& graph, const DimBindings& bindings, std::uint32_t seed) {
  Case inputs;
  for (const auto& [name, value] : graph.inputs()) {
    Extents shape;
    for (const Dim& dim : value.shape()) shape.push_back(dim.evaluate(bindings));
    Tensor tensor = noise(DType::f64, shape, ++seed);
    if (value.dtype() == DType::boolean) {
      Reals values = tensor.to_doubles();
      for (double& element : values)
        element = element > 0.5 ? 1 : 0;  // few are true, so that some rows have none
      tensor = Tensor::from_doubles(DType::boolean, shape, values);
    } else if (is_integer(value.dtype())) {  // positions
      std::vector<std::int64_t> values;
      for (const double element : tensor.to_doubles())
        values.push_back(static_cast<std::int64_t>(std::abs(element) * 8));
      tensor = Tensor::from_ints(value.dtype(), shape, values);
    } else {
      tensor = Tensor::from_doubles(value.dtype(), shape, tensor.to_doubles());
    }
    inputs.emplace_back(name, std::move(tensor));
  }
  return inputs;
}

TEST(Composites, EachHasASample) {
  const std::multimap<Op, Sample> samples = composite_samples();
  for (const Op op : composites())
    EXPECT_TRUE(samples.contains(op)) << to_string(op) << " has no sample in this test";
}

TEST(Composites, EqualTheirDecompositions) {
  // Decompositions hold their constants in the graph's dtype: at float32 they are off by as much.
  for (const auto& [dtype, tolerance] : {std::pair{DType::f64, 1e-12}, std::pair{DType::f32, 1e-5}}) {
    for (const auto& [op, sample] : composite_samples()) {
      Graph graph(dtype);
      const Value composite = sample(graph);
      ASSERT_EQ(composite.node()->op, op);
      const std::vector<Value> decomposed = op::detail::decompose(*composite.node());
      ASSERT_EQ(decomposed.size(), composite.node()->outputs.size());
      for (std::uint32_t i = 0; i < decomposed.size(); ++i) {
        graph.output(fmt::format("composite {}", i), composite.node()->out(i));
        graph.output(fmt::format("decomposed {}", i), decomposed[i]);
      }
      verify(graph);
      SCOPED_TRACE(print(graph));
      std::vector<Case> cases;
      for (const DimBindings& bindings : {DimBindings{{"batch", 1}, {"length", 1}, {"keys", 1}},
                                          DimBindings{{"batch", 2}, {"length", 7}, {"keys", 4}},
                                          DimBindings{{"batch", 3}, {"length", 2}, {"keys", 9}},
                                          DimBindings{{"batch", 1}, {"length", 0}, {"keys", 3}},
                                          DimBindings{{"batch", 2}, {"length", 3}, {"keys", 0}}}) {
        cases.push_back(random_case(graph, bindings, static_cast<std::uint32_t>(100 * cases.size())));
      }
      for (const std::vector<HostTensor>& outputs : interpret(graph, cases)) {
        for (std::size_t i = 0; i < outputs.size(); i += 2) {
          EXPECT_EQ(outputs[i].shape, outputs[i + 1].shape);
          expect_close(outputs[i].reals, outputs[i + 1].reals, tolerance,
                       0.01);  // sums of terms around 1 may cancel
        }
      }
    }
  }
}

}  // namespace
}  // namespace onnxport
