#include "op_samples.h"

#include "onnxport/op.h"
#include "onnxport/ops.h"

namespace onnxport::test {
namespace {

const Dim N = Dim::symbol("N"), M = Dim::symbol("M");

class Samples {
 public:
  std::vector<OpSample> list;

  void add(Op op, const std::string& name, DType dtype, std::function<Value(Graph&, DType)> apply) {
    list.push_back(
        {op, name + "_" + std::string(short_name(dtype)), dtype,
         [dtype, apply = std::move(apply)](Graph& graph) { graph.output("y", apply(graph, dtype)); }});
  }
  void floats(Op op, const std::string& name, const std::function<Value(Graph&, DType)>& apply) {
    for (const DType dtype : {DType::f32, DType::f16}) add(op, name, dtype, apply);
  }
};

Value input(Graph& graph, const char* name, DType dtype, Shape shape) {
  return graph.input(name, {dtype, std::move(shape)});
}

// sqrt, log and the like want positive operands; |x| + 1/2 gives them in the graph itself.
Value positive(Value x) { return op::add(op::abs(x), 0.5); }

using Unary = Value (*)(Value);
using Binary = Value (*)(Value, Value);

void unary(Samples& s, Op op, Unary function) {
  const std::string name(to_string(op));
  if (op == Op::logical_not) {
    s.add(op, name, DType::boolean, [=](Graph& g, DType d) { return function(input(g, "x", d, {N, M})); });
    return;
  }
  const bool wants_positive = op == Op::log || op == Op::sqrt || op == Op::reciprocal;
  s.floats(op, name, [=](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M, 3});
    return function(wants_positive ? positive(x) : x);
  });
  if (op == Op::neg || op == Op::abs) {
    s.add(op, name, DType::i64, [=](Graph& g, DType d) { return function(input(g, "x", d, {N, M})); });
  }
}

void binary(Samples& s, Op op, Binary function) {
  const std::string name(to_string(op));
  if (op == Op::logical_and || op == Op::logical_or) {
    s.add(op, name, DType::boolean, [=](Graph& g, DType d) {
      const Value a = input(g, "a", d, {N, M});
      return function(a, input(g, "b", d, {M}));
    });
    return;
  }
  s.floats(op, name + "_broadcast", [=](Graph& g, DType d) {
    Value a = input(g, "a", d, {N, 1, M});
    Value b = input(g, "b", d, {4, 1});
    if (op == Op::pow) a = positive(a);
    if (op == Op::div) b = positive(b);
    return function(a, b);
  });
  if (op == Op::pow) return;
  for (const DType dtype : {DType::i64, DType::i32}) {
    s.add(op, name, dtype, [=](Graph& g, DType d) {
      const Value a = input(g, "a", d, {N, M});
      Value b = input(g, "b", d, {N, M});
      if (op == Op::div) b = op::add(op::abs(b), 1.0);
      return function(a, b);
    });
  }
}

void compare(Samples& s, Op op, Binary function) {
  const std::string name(to_string(op));
  for (const DType dtype : {DType::f32, DType::f16, DType::i64, DType::i32}) {
    s.add(op, name, dtype, [=](Graph& g, DType d) {
      const Value a = input(g, "a", d, {N, M});
      return function(a, input(g, "b", d, {N, 1}));
    });
  }
}

void shapes(Samples& s) {
  s.floats(Op::reshape, "reshape_split",
           [](Graph& g, DType d) { return op::reshape(input(g, "x", d, {N, M, 6}), {N, M, 2, 3}); });
  s.floats(Op::reshape, "reshape_join",
           [](Graph& g, DType d) { return op::flatten(input(g, "x", d, {N, M, 6}), 0, 1); });
  s.add(Op::reshape, "reshape_two_unknown", DType::i64, [](Graph& g, DType d) {
    input(g, "like", d, {N, M});
    return op::reshape(input(g, "x", d, {N * M, 4}), {N, M, 4});
  });
  s.floats(Op::reshape, "reshape_unsqueeze", [](Graph& g, DType d) {
    const Value x = op::unsqueeze(input(g, "x", d, {N, M}), 1);
    return op::unsqueeze(op::squeeze(x, 1), -1);
  });
  s.floats(Op::permute, "permute_rotation",
           [](Graph& g, DType d) { return op::permute(input(g, "x", d, {N, 4, M}), {1, 2, 0}); });
  s.floats(Op::permute, "permute",
           [](Graph& g, DType d) { return op::permute(input(g, "x", d, {N, M, 3, 2}), {0, 2, 1, 3}); });
  s.floats(Op::expand, "expand",
           [](Graph& g, DType d) { return op::expand(input(g, "x", d, {N, 1, 3}), {N, 4, 3}); });
  s.floats(Op::expand, "expand_to_symbol", [](Graph& g, DType d) {
    const Dim length = input(g, "like", d, {N, M}).dim(1);
    return op::expand(input(g, "x", d, {N, 1}), {2, N, length});
  });
  s.floats(Op::concat, "concat", [](Graph& g, DType d) {
    const Value a = input(g, "a", d, {N, M});
    return op::concat({a, input(g, "b", d, {N, 3}), a}, -1);
  });
  s.floats(Op::slice, "slice",
           [](Graph& g, DType d) { return op::slice(input(g, "x", d, {N, 7, M}), 1, 2, -1); });
  s.floats(Op::slice, "slice_to_symbol", [](Graph& g, DType d) {
    const Dim length = input(g, "like", d, {N, M}).dim(1);
    return op::slice(input(g, "table", d, {9, 3}), 0, 0, length);
  });
  s.floats(Op::split, "split", [](Graph& g, DType d) {
    const std::vector<Value> parts = op::split(input(g, "x", d, {N, 6, M}), 1, {1, 3, 2});
    return op::concat({parts[2], parts[0], parts[1]}, 1);
  });
  s.floats(Op::split, "split_rows", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M, 4});
    const std::vector<Value> parts = op::chunk(op::linear(x, input(g, "w", d, {6, 4})), -1, 2);
    return op::concat({op::mul(parts[0], parts[1]), parts[0]}, -1);
  });
  s.floats(Op::slice, "select",
           [](Graph& g, DType d) { return op::select(input(g, "x", d, {N, 3, M}), 1, -1); });
  s.add(Op::arange, "arange", DType::i64, [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M});
    return op::add(op::arange(g, M, N), x);
  });
  s.add(Op::size, "size", DType::i64, [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M});
    return op::add(x, op::size(g, 2 * M + N - 1));
  });
  s.add(Op::size, "size_floor", DType::i64, [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M});
    return op::add(x, op::size(g, (M + 5).floor_div(2)));
  });
}

void reductions(Samples& s) {
  using Reduce = Value (*)(Value, std::int64_t, bool);
  const std::vector<std::pair<Op, Reduce>> reduce = {
      {Op::sum, op::sum}, {Op::mean, op::mean}, {Op::amax, op::amax}, {Op::argmax, op::argmax}};
  for (const auto& [op, function] : reduce) {
    for (const bool keepdim : {false, true}) {
      const std::string name = std::string(to_string(op)) + (keepdim ? "_keepdim" : "");
      const auto apply = [=, function = function](Graph& g, DType d) {
        return function(input(g, "x", d, {N, M, 3}), 1, keepdim);
      };
      s.floats(op, name, apply);
      if (op == Op::sum || op == Op::amax) s.add(op, name, DType::i64, apply);
    }
  }
  s.add(Op::topk, "topk", DType::f32, [](Graph& g, DType d) {
    // Distinct elements: equal ones may come in any order.
    const Value steps = op::mul(op::cast(op::arange(g, 7), d), 1.0 / 1024);
    const op::TopK top = op::topk(op::add(input(g, "x", d, {N, 7}), steps), 3, -1);
    return op::add(top.values, op::cast(top.indices, d));
  });
  for (const DType dtype : {DType::f32, DType::i64, DType::i32}) {
    s.add(Op::cumsum, "cumsum", dtype,
          [](Graph& g, DType d) { return op::cumsum(input(g, "x", d, {N, M}), 1); });
  }
  s.floats(Op::softmax, "softmax_last",
           [](Graph& g, DType d) { return op::softmax(input(g, "x", d, {N, M, 5}), -1); });
  s.floats(Op::softmax, "softmax_first",
           [](Graph& g, DType d) { return op::softmax(input(g, "x", d, {N, M, 5}), 1); });
  s.floats(Op::normalize, "normalize",
           [](Graph& g, DType d) { return op::normalize(input(g, "x", d, {N, M}), 1); });
  s.floats(Op::rms_norm, "rms_norm", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M, 8});
    return op::rms_norm(x, input(g, "weight", d, {8}), 1e-6);
  });
  for (const bool biased : {false, true}) {
    const std::string suffix = biased ? "_biased" : "";
    s.floats(Op::add_layer_norm, "add_layer_norm" + suffix, [=](Graph& g, DType d) {
      const Value x = input(g, "x", d, {N, M, 8}), skip = input(g, "skip", d, {N, M, 8});
      const Value weight = input(g, "weight", d, {8});
      const Value bias = biased ? input(g, "bias", d, {8}) : Value();
      const op::AddNorm made =
          op::add_layer_norm(x, skip, weight, bias, 1e-5, biased ? input(g, "linear_bias", d, {8}) : Value());
      return op::concat({made.normed, made.sum}, -1);
    });
    s.floats(Op::add_rms_norm, "add_rms_norm" + suffix, [=](Graph& g, DType d) {
      const Value x = input(g, "x", d, {N, M, 8}), skip = input(g, "skip", d, {N, M, 8});
      const Value weight = input(g, "weight", d, {8});
      const op::AddNorm made =
          op::add_rms_norm(x, skip, weight, 1e-5, biased ? input(g, "linear_bias", d, {8}) : Value());
      return op::concat({made.normed, made.sum}, -1);
    });
  }
  s.floats(Op::rms_norm, "rms_norm_bare",
           [](Graph& g, DType d) { return op::rms_norm(input(g, "x", d, {N, M, 8}), {}, 1e-6); });
  s.floats(Op::layer_norm, "layer_norm", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M, 8});
    const Value weight = input(g, "weight", d, {8});
    return op::layer_norm(x, weight, input(g, "bias", d, {8}), 1e-5);
  });
}

void convolutions(Samples& s) {
  s.floats(Op::conv, "conv1d", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, 4, M + 9});
    const Value weight = input(g, "weight", d, {6, 4, 3});
    return op::conv1d(x, weight, input(g, "bias", d, {6}), {.stride = {2}});
  });
  s.floats(Op::conv, "conv1d_groups", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, 4, M});
    return op::conv1d(x, input(g, "weight", d, {6, 2, 4}), {}, {.padding = {2, 1}, .groups = 2});
  });
  s.floats(Op::conv, "conv1d_dilated", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, 3, M + 6});
    const Value y = op::conv1d(x, input(g, "weight", d, {2, 3, 3}), {}, {.stride = {2}, .dilation = {3}});
    return op::reshape(y, {2 * N, y.dim(2)});  // what is left of M has to be computed
  });
  s.floats(Op::conv, "conv2d", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, 2, M + 3, 7});
    const Value weight = input(g, "weight", d, {4, 1, 3, 2});
    return op::conv2d(x, weight, input(g, "bias", d, {4}),
                      {.stride = {2, 3}, .padding = {1, 0, 2, 1}, .dilation = {1, 2}, .groups = 2});
  });
  s.floats(Op::conv_transpose, "conv_transpose2d", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, 4, M + 1, 3});
    const Value weight = input(g, "weight", d, {4, 3, 3, 2});
    return op::conv_transpose2d(x, weight, input(g, "bias", d, {6}),
                                {.stride = {2, 3}, .padding = {1, 0, 0, 1}, .groups = 2});
  });
  s.floats(Op::conv_transpose, "conv_transpose2d_dilated", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, 2, M + 1, 2});
    return op::conv_transpose2d(x, input(g, "weight", d, {2, 3, 2, 2}), {}, {.dilation = {2, 1}});
  });
  s.floats(Op::clamp, "clamp",
           [](Graph& g, DType d) { return op::clamp(input(g, "x", d, {N, M, 3}), -0.25, 0.5); });
  for (const DType dtype : {DType::f32, DType::f16, DType::i64}) {
    s.add(Op::pad, "pad", dtype,
          [](Graph& g, DType d) { return op::pad(input(g, "x", d, {N, M, 3}), {0, M, 1}, {2, 1, 0}, 7); });
  }
  s.floats(Op::pad, "pad_to_a_multiple", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M});
    const Dim rest = 4 * (M + 3).floor_div(4) - M;
    return op::reshape(op::pad(x, {0, 0}, {0, rest}), {N, (M + 3).floor_div(4), 4});
  });
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    s.floats(Op::interpolate, std::string(mode) + "_to_larger", [=](Graph& g, DType d) {
      return op::interpolate(input(g, "x", d, {N, 2, M, 3}), {2 * M, 7}, mode);
    });
    s.floats(Op::interpolate, std::string(mode) + "_to_smaller", [=](Graph& g, DType d) {
      return op::interpolate(input(g, "x", d, {N, 2, M + 6, 8}), {M.floor_div(2) + 2, 4}, mode);
    });
    if (std::string_view(mode) == "nearest") continue;
    s.floats(Op::interpolate, std::string(mode) + "_aligned", [=](Graph& g, DType d) {
      return op::interpolate(input(g, "x", d, {N, 1, M + 1, 3}), {3 * M, 1}, mode, true);
    });
  }
  for (const std::int64_t groups : {6, 3, 1}) {
    s.floats(Op::group_norm, "group_norm_" + std::to_string(groups), [=](Graph& g, DType d) {
      const Value x = input(g, "x", d, {N, 6, M + 4});
      const Value weight = input(g, "weight", d, {6});
      return op::group_norm(x, groups, weight, input(g, "bias", d, {6}));
    });
  }
  s.floats(Op::group_norm, "group_norm_bare",
           [](Graph& g, DType d) { return op::group_norm(input(g, "x", d, {N, 4, M, 5}), 2, {}, {}, 1e-3); });
}

void matrices(Samples& s) {
  s.floats(Op::matmul, "matmul", [](Graph& g, DType d) {
    const Value a = input(g, "a", d, {N, 2, M, 4});
    return op::matmul(a, input(g, "b", d, {2, 4, 3}));
  });
  s.floats(Op::linear, "linear", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M, 4});
    const Value weight = input(g, "weight", d, {3, 4});
    return op::linear(x, weight, input(g, "bias", d, {3}));
  });
  s.floats(Op::linear, "linear_no_bias", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, 4});
    return op::linear(x, input(g, "weight", d, {3, 4}));
  });
  s.floats(Op::linear, "linear_chain", [](Graph& g, DType d) {
    const Value x = input(g, "x", d, {N, M, 4});
    const Value weight = input(g, "weight", d, {4, 4});
    const Value bias = input(g, "bias", d, {4});
    const Value first = op::tanh(op::linear(x, weight, bias));
    return op::layer_norm(op::add(op::linear(first, weight, bias), first), bias, bias, 1e-5);
  });
  for (const DType index : {DType::i64, DType::i32}) {
    s.add(Op::embedding, "embedding", index, [](Graph& g, DType d) {
      const Value table = input(g, "table", DType::f32, {4, 3});
      const Value ids = op::minimum(op::abs(input(g, "ids", d, {N, M})), 3.0);
      return op::embedding(table, ids);
    });
    s.add(Op::gather, "gather", index, [](Graph& g, DType d) {
      const Value x = input(g, "x", DType::f32, {N, 4});
      return op::gather(x, 1, op::minimum(op::abs(input(g, "ids", d, {N, 2})), 3.0));
    });
  }
  const auto attention = [](Graph& g, DType d, const std::function<Value(Graph&)>& mask) {
    const Value q = input(g, "q", d, {N, 2, M, 4});
    const Value k = input(g, "k", d, {N, 2, 5, 4});
    const Value v = input(g, "v", d, {N, 2, 5, 3});
    return op::scaled_dot_product_attention(q, k, v, mask(g));
  };
  s.floats(Op::scaled_dot_product_attention, "sdpa",
           [=](Graph& g, DType d) { return attention(g, d, [](Graph&) { return Value(); }); });
  s.floats(Op::scaled_dot_product_attention, "sdpa_float_mask", [=](Graph& g, DType d) {
    return attention(g, d, [d](Graph& graph) { return input(graph, "mask", d, {N, 1, 1, 5}); });
  });
  // Booleans of the tests are true half of the time: rows without any true occur.
  s.floats(Op::scaled_dot_product_attention, "sdpa_bool_mask", [=](Graph& g, DType d) {
    return attention(g, d, [](Graph& graph) { return input(graph, "mask", DType::boolean, {N, 1, M, 5}); });
  });
}

void cached_attention(Samples& s) {
  // All three results in one output. Values have the width of keys, as the caches of models have.
  const auto joined = [](const op::AttentionResults& results) {
    const Value keys = op::sum(op::sum(results.key, 2), 1, true);
    const Value values = op::sum(op::sum(results.value, 2), 1, true);
    return op::add(results.output, op::concat({keys, values, keys, values}, -1));
  };
  struct Form {
    const char* name;
    std::int64_t kv_heads = 4;
    bool past = false, padding = false, causal = false, uniform = false;
    std::int64_t window = 0;
    const char* bias = "";   // "whole", "keys"
    std::int64_t pairs = 0;  // that turn
    bool interleaved = false, one_row = false;
    double softcap = 0;
  };
  // Booleans of the tests are true half of the time: queries that see no key occur.
  for (const Form& form : {
           Form{"attention"},
           Form{.name = "attention_grouped", .kv_heads = 2},
           Form{.name = "attention_past", .past = true, .causal = true},
           Form{.name = "attention_past_grouped", .kv_heads = 2, .past = true, .causal = true},
           Form{.name = "attention_padding", .padding = true},
           Form{.name = "attention_padding_uniform", .padding = true, .uniform = true},
           Form{.name = "attention_causal", .causal = true},
           Form{.name = "attention_causal_uniform", .causal = true, .uniform = true},
           Form{.name = "attention_padded_past", .past = true, .padding = true, .causal = true},
           Form{.name = "attention_padded_past_uniform",
                .past = true,
                .padding = true,
                .causal = true,
                .uniform = true},
           Form{.name = "attention_padded_past_grouped",
                .kv_heads = 2,
                .past = true,
                .padding = true,
                .causal = true},
           Form{.name = "attention_window", .past = true, .padding = true, .causal = true, .window = 3},
           Form{.name = "attention_window_grouped", .kv_heads = 1, .past = true, .causal = true, .window = 3},
           Form{.name = "attention_window_both_ways", .padding = true, .uniform = true, .window = 2},
           Form{.name = "attention_bias", .bias = "whole"},
           Form{.name = "attention_bias_padding", .padding = true, .uniform = true, .bias = "whole"},
           Form{.name = "attention_bias_causal", .past = true, .causal = true, .bias = "keys"},
           Form{.name = "attention_rotary", .past = true, .padding = true, .causal = true, .pairs = 4},
           Form{.name = "attention_rotary_grouped",
                .kv_heads = 2,
                .past = true,
                .padding = true,
                .causal = true,
                .pairs = 4},
           Form{
               .name = "attention_rotary_partial", .past = true, .causal = true, .pairs = 3, .one_row = true},
           Form{.name = "attention_rotary_interleaved", .causal = true, .pairs = 4, .interleaved = true},
           Form{.name = "attention_rotary_interleaved_partial",
                .kv_heads = 1,
                .past = true,
                .causal = true,
                .pairs = 3,
                .interleaved = true},
           Form{.name = "attention_softcap",
                .past = true,
                .padding = true,
                .causal = true,
                .pairs = 4,
                .softcap = 5},
       }) {
    s.floats(Op::attention, form.name, [=](Graph& g, DType d) {
      const std::int64_t width = 8 * form.kv_heads;
      op::AttentionOperands in{.query = input(g, "q", d, {N, M, 32}),
                               .key = input(g, "k", d, {N, M, width}),
                               .value = input(g, "v", d, {N, M, width})};
      if (form.past) {
        in.past_key = input(g, "past_key", d, {N, form.kv_heads, 3, 8});
        in.past_value = input(g, "past_value", d, {N, form.kv_heads, 3, 8});
      }
      const Dim total = form.past ? M + 3 : M;
      const std::string bias = form.bias;
      if (form.padding) in.mask.padding = input(g, "padding", DType::boolean, {N, total});
      if (bias == "whole") in.mask.bias = input(g, "bias", d, {1, 4, M, total});
      if (bias == "keys") in.mask.bias = input(g, "bias", d, {N, 4, 1, total});
      in.mask.causal = form.causal;
      if (form.window > 0) in.mask.window = form.window;
      if (form.uniform) in.mask.no_keys = op::NoKeys::uniform;
      if (form.pairs > 0) {
        in.rope = {
            .position_ids = input(g, "position_ids", DType::i64, {form.one_row ? Dim(1) : N, M}),
            .frequencies = g.weight_as_is(Weight::from_doubles(
                DType::f32, {form.pairs}, std::vector<double>(static_cast<std::size_t>(form.pairs), 0.25))),
            .interleaved = form.interleaved};
      }
      // Scores below 16: in half precision the lowest value swallows no larger ones.
      return joined(op::attention(in, 4, form.kv_heads, {.scale = 0.1, .softcap = form.softcap}));
    });
  }
  for (const bool apart : {false, true}) {  // keys of another sequence
    s.floats(Op::attention, apart ? "attention_cross_apart" : "attention_cross", [=](Graph& g, DType d) {
      op::AttentionOperands in{.query = input(g, "q", d, {N, M, 8}),
                               .key = input(g, "k", d, apart ? Shape{N, 2, 5, 4} : Shape{N, 5, 8}),
                               .value = input(g, "v", d, apart ? Shape{N, 2, 5, 4} : Shape{N, 5, 8})};
      if (apart)
        in.mask = {.padding = input(g, "padding", DType::boolean, {N, 5}), .no_keys = op::NoKeys::uniform};
      return op::attention(in, 2, 2).output;
    });
  }
  for (const bool apart : {false, true}) {
    s.floats(Op::rotary_embedding, apart ? "rotary_embedding_apart" : "rotary_embedding",
             [=](Graph& g, DType d) {
               const Value x = input(g, "x", d, apart ? Shape{N, 2, M, 6} : Shape{N, M, 12});
               const Value cos = input(g, "cos", d, {N, M, apart ? 2 : 3});
               return op::rotary_embedding(x, cos, input(g, "sin", d, cos.shape()), 2, apart);
             });
  }
  s.floats(Op::scaled_dot_product_attention, "sdpa_grouped", [](Graph& g, DType d) {
    const Value q = input(g, "q", d, {N, 4, M, 4});
    const Value k = input(g, "k", d, {N, 2, 5, 4});
    const Value v = input(g, "v", d, {N, 2, 5, 3});
    const Value mask = input(g, "mask", d, {N, 4, 1, 5});
    return op::scaled_dot_product_attention(q, k, v, mask, {.scale = 0.3, .softcap = 2.0});
  });
}

void others(Samples& s) {
  for (const DType from : {DType::f32, DType::i64, DType::boolean, DType::f16}) {
    for (const DType to : {DType::f32, DType::i64, DType::f16, DType::i32}) {
      if (from == to) continue;
      s.add(Op::cast, "cast_to_" + std::string(short_name(to)), from,
            [=](Graph& g, DType d) { return op::cast(input(g, "x", d, {N, M}), to); });
    }
  }
  for (const DType dtype : {DType::f32, DType::f16, DType::i64}) {
    s.add(Op::where, "where", dtype, [](Graph& g, DType d) {
      const Value condition = input(g, "condition", DType::boolean, {N, 1});
      const Value a = input(g, "a", d, {M});
      return op::where(condition, a, input(g, "b", d, {N, M}));
    });
  }
  s.floats(Op::gelu, "gelu", [](Graph& g, DType d) { return op::gelu(input(g, "x", d, {N, M})); });
  s.floats(Op::gelu, "gelu_tanh",
           [](Graph& g, DType d) { return op::gelu(input(g, "x", d, {N, M}), "tanh"); });
  s.floats(Op::quick_gelu, "quick_gelu",
           [](Graph& g, DType d) { return op::quick_gelu(input(g, "x", d, {N, M})); });
  for (const char* approximate : {"none", "tanh"}) {
    s.floats(Op::bias_gelu, std::string("bias_gelu_") + approximate, [=](Graph& g, DType d) {
      const Value x = input(g, "x", d, {N, M, 4});
      return op::bias_gelu(x, input(g, "bias", d, {4}), approximate);
    });
  }
  s.floats(Op::silu, "silu", [](Graph& g, DType d) { return op::silu(input(g, "x", d, {N, M})); });
  s.floats(Op::mish, "mish", [](Graph& g, DType d) { return op::mish(input(g, "x", d, {N, M})); });
}

}  // namespace

std::vector<OpSample> op_samples() {
  Samples s;
#define ONNXPORT_UNARY(name) unary(s, Op::name, op::name);
#define ONNXPORT_BINARY(name) binary(s, Op::name, static_cast<Binary>(op::name));
#define ONNXPORT_COMPARE(name) compare(s, Op::name, static_cast<Binary>(op::name));
#include "onnxport/ops.def"
  shapes(s);
  reductions(s);
  matrices(s);
  convolutions(s);
  cached_attention(s);
  others(s);
  return with_expert_samples(
      with_quantized_samples(with_recurrent_samples(with_pooling_samples(std::move(s.list)))));
}

std::vector<Op> all_ops() {
  return {
#define ONNXPORT_PRIMITIVE(name) Op::name,
#include "onnxport/ops.def"
  };
}

}  // namespace onnxport::test
