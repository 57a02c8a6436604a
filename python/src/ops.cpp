// onnxport.op: the semantic ops. Their meaning is documented in onnxport/op.h.
#include "onnxport/op.h"

#include <string>

#include "bind.h"
#include "onnxport/index_ops.h"
#include "onnxport/signal_ops.h"
#include "operands.h"

namespace onnxport::python {
namespace {

using Ints = std::vector<std::int64_t>;

void bind_elementwise(nb::module_& m) {
  const auto unary = [&](const char* name, Value (*function)(Value), const char* doc = "") {
    m.def(name, function, nb::arg("x"), doc);
  };
  unary("neg", op::neg);
  unary("abs", op::abs);
  unary("exp", op::exp);
  unary("log", op::log);
  unary("sqrt", op::sqrt);
  unary("reciprocal", op::reciprocal);
  unary("erf", op::erf);
  unary("tanh", op::tanh);
  unary("sigmoid", op::sigmoid);
  unary("relu", op::relu);
  unary("softplus", op::softplus);
  unary("round", op::round, "To the nearest integer, ties to even.");
  unary("sin", op::sin);
  unary("cos", op::cos);
  unary("logical_not", op::logical_not);
  unary("silu", op::silu);
  unary("quick_gelu", op::quick_gelu);
  unary("mish", op::mish);

  const auto binary = [&](const char* name, Value (*function)(Value, Value)) {
    m.def(name, function, nb::arg("a"), nb::arg("b"));
  };
  binary("add", op::add);
  binary("sub", op::sub);
  binary("mul", op::mul);
  binary("div", op::div);
  binary("pow", op::pow);
  binary("maximum", op::maximum);
  binary("minimum", op::minimum);
  binary("logical_and", op::logical_and);
  binary("logical_or", op::logical_or);
  binary("eq", op::eq);
  binary("lt", op::lt);
  binary("le", op::le);
  binary("gt", op::gt);
  binary("ge", op::ge);
  binary("matmul", op::matmul);
  const auto with_number = [&](const char* name, Value (*function)(Value, double)) {
    m.def(name, function, nb::arg("a"), nb::arg("b"));
  };
  with_number("add", op::add);
  with_number("sub", op::sub);
  with_number("mul", op::mul);
  with_number("div", op::div);
  with_number("pow", op::pow);
  with_number("maximum", op::maximum);
  with_number("minimum", op::minimum);
  with_number("eq", op::eq);
  with_number("ne", op::ne);
  with_number("lt", op::lt);
  with_number("gt", op::gt);

  m.def(
      "cast", [](const Value& x, const std::string& dtype) { return op::cast(x, parse_dtype(dtype)); },
      nb::arg("x"), nb::arg("dtype"), "dtype: fp32, int64, bool, …");
  m.def("where", op::where, nb::arg("condition"), nb::arg("a"), nb::arg("b"), "condition ? a : b");
  m.def("clamp", op::clamp, nb::arg("x"), nb::arg("low"), nb::arg("high"));
  m.def("masked_fill", op::masked_fill, nb::arg("x"), nb::arg("mask"), nb::arg("value"));
  m.def(
      "gelu", [](const Value& x, const std::string& approximate) { return op::gelu(x, approximate); },
      nb::arg("x"), nb::arg("approximate") = "none");
}

void bind_shapes(nb::module_& m) {
  m.def(
      "scalar",
      [](Graph& graph, double value, const std::string& dtype) {
        return op::scalar(graph, value, parse_dtype(dtype));
      },
      nb::arg("graph"), nb::arg("value"), nb::arg("dtype"), "A constant of shape [].");
  m.def("size", op::size, nb::arg("graph"), nb::arg("dim"), "A dimension as an int64 scalar.");
  m.def("arange", nb::overload_cast<Graph&, const Dim&, const Dim&>(op::arange), nb::arg("graph"),
        nb::arg("n"), nb::arg("start") = Dim(0), "int64 [n] = start, start + 1, …");
  m.def("reshape", op::reshape, nb::arg("x"), nb::arg("shape"), "One entry may be -1.");
  m.def("flatten", op::flatten, nb::arg("x"), nb::arg("start"), nb::arg("end"));
  m.def("permute", op::permute, nb::arg("x"), nb::arg("axes"));
  m.def("transpose", op::transpose, nb::arg("x"), nb::arg("axis0"), nb::arg("axis1"));
  m.def("unsqueeze", op::unsqueeze, nb::arg("x"), nb::arg("axis"));
  m.def("squeeze", op::squeeze, nb::arg("x"), nb::arg("axis"));
  m.def("expand", op::expand, nb::arg("x"), nb::arg("shape"));
  m.def("concat", op::concat, nb::arg("parts"), nb::arg("axis"));
  m.def("slice", op::slice, nb::arg("x"), nb::arg("axis"), nb::arg("begin"), nb::arg("end"));
  m.def("split", op::split, nb::arg("x"), nb::arg("axis"), nb::arg("sizes"));
  m.def("chunk", op::chunk, nb::arg("x"), nb::arg("axis"), nb::arg("parts"));
  m.def("select", op::select, nb::arg("x"), nb::arg("axis"), nb::arg("index"));
  m.def("pad", nb::overload_cast<Value, Shape, Shape, double>(op::pad), nb::arg("x"), nb::arg("before"),
        nb::arg("after"), nb::arg("value") = 0.0);
  m.def(
      "interpolate",
      [](const Value& x, const Shape& size, const std::string& mode, bool align_corners) {
        return op::interpolate(x, size, mode, align_corners);
      },
      nb::arg("x"), nb::arg("size"), nb::arg("mode"), nb::arg("align_corners") = false);
}

void bind_reductions(nb::module_& m) {
  const auto reduction = [&](const char* name, Value (*function)(Value, std::int64_t, bool)) {
    m.def(name, function, nb::arg("x"), nb::arg("axis"), nb::arg("keepdim") = false);
  };
  reduction("sum", op::sum);
  reduction("mean", op::mean);
  reduction("amax", op::amax);
  reduction("argmax", op::argmax);
  m.def("cumsum", op::cumsum, nb::arg("x"), nb::arg("axis"));
  m.def(
      "topk",
      [](const Value& x, std::int64_t k, std::int64_t axis) {
        const op::TopK top = op::topk(x, k, axis);
        return std::pair(top.values, top.indices);
      },
      nb::arg("x"), nb::arg("k"), nb::arg("axis"), "(values, indices)");
  m.def("embedding", op::embedding, nb::arg("table"), nb::arg("indices"));
  m.def("gather", op::gather, nb::arg("x"), nb::arg("axis"), nb::arg("indices"));
  m.def("nonzero", op::nonzero, nb::arg("mask"), nb::arg("symbol"));
  m.def("softmax", op::softmax, nb::arg("x"), nb::arg("axis"));
  m.def("normalize", op::normalize, nb::arg("x"), nb::arg("axis"), nb::arg("eps") = 1e-12);
}

op::ConvOptions conv_options(const Ints& stride, const Ints& padding, const Ints& dilation,
                             std::int64_t groups) {
  return {.stride = stride, .padding = padding, .dilation = dilation, .groups = groups};
}

void bind_layers(nb::module_& m) {
  m.def(
      "linear",
      [](const Value& x, const Value& weight, const MaybeValue& bias) {
        return op::linear(x, weight, absent_if_none(bias));
      },
      nb::arg("x"), nb::arg("weight"), nb::arg("bias").none() = nb::none());
  m.def(
      "layer_norm",
      [](const Value& x, const MaybeValue& weight, const MaybeValue& bias, double eps) {
        return op::layer_norm(x, absent_if_none(weight), absent_if_none(bias), eps);
      },
      nb::arg("x"), nb::arg("weight").none(), nb::arg("bias").none(), nb::arg("eps"));
  m.def(
      "rms_norm",
      [](const Value& x, const MaybeValue& weight, double eps) {
        return op::rms_norm(x, absent_if_none(weight), eps);
      },
      nb::arg("x"), nb::arg("weight").none(), nb::arg("eps"));
  m.def(
      "group_norm",
      [](const Value& x, std::int64_t groups, const MaybeValue& weight, const MaybeValue& bias, double eps) {
        return op::group_norm(x, groups, absent_if_none(weight), absent_if_none(bias), eps);
      },
      nb::arg("x"), nb::arg("groups"), nb::arg("weight").none(), nb::arg("bias").none(),
      nb::arg("eps") = 1e-5);
  using Conv = Value (*)(Value, Value, Value, const op::ConvOptions&);
  const auto conv = [&](const char* name, Conv function) {
    m.def(
        name,
        [function](const Value& x, const Value& weight, const MaybeValue& bias, const Ints& stride,
                   const Ints& padding, const Ints& dilation, std::int64_t groups) {
          return function(x, weight, absent_if_none(bias), conv_options(stride, padding, dilation, groups));
        },
        nb::arg("x"), nb::arg("weight"), nb::arg("bias").none() = nb::none(), nb::arg("stride") = Ints(),
        nb::arg("padding") = Ints(), nb::arg("dilation") = Ints(), nb::arg("groups") = 1);
  };
  conv("conv1d", op::conv1d);
  conv("conv2d", op::conv2d);
  conv("conv_transpose1d", op::conv_transpose1d);
  conv("conv_transpose2d", op::conv_transpose2d);
  m.def(
      "max_pool2d",
      [](const Value& x, const Ints& kernel, const Ints& stride, const Ints& padding) {
        return op::max_pool2d(x, kernel, conv_options(stride, padding, {}, 1));
      },
      nb::arg("x"), nb::arg("kernel"), nb::arg("stride") = Ints(), nb::arg("padding") = Ints());
  m.def(
      "scaled_dot_product_attention",
      [](const Value& query, const Value& key, const Value& value, const MaybeValue& mask,
         std::optional<double> scale, double softcap) {
        return op::scaled_dot_product_attention(query, key, value, absent_if_none(mask),
                                                {.scale = scale, .softcap = softcap});
      },
      nb::arg("query"), nb::arg("key"), nb::arg("value"), nb::arg("mask").none() = nb::none(),
      nb::arg("scale").none() = nb::none(), nb::arg("softcap") = 0.0,
      "query [B, H, L, D], key [B, G, S, D], value [B, G, S, E] -> [B, H, L, E]");
}

// The cache, the rotation and the mask may be absent.
nb::tuple attention(const Value& query, const Value& key, const Value& value, std::int64_t heads,
                    std::int64_t kv_heads, const MaybeValue& past_key, const MaybeValue& past_value,
                    const std::optional<op::AttentionMask>& mask, const MaybeValue& position_ids,
                    const MaybeValue& frequencies, bool interleaved, std::optional<double> scale,
                    double softcap) {
  op::AttentionOperands operands{.query = query,
                                 .key = key,
                                 .value = value,
                                 .past_key = absent_if_none(past_key),
                                 .past_value = absent_if_none(past_value),
                                 .mask = mask.value_or(op::AttentionMask())};
  operands.rope.position_ids = absent_if_none(position_ids);
  operands.rope.frequencies = absent_if_none(frequencies);
  operands.rope.interleaved = interleaved;
  const op::AttentionResults results =
      op::attention(operands, heads, kv_heads, {.scale = scale, .softcap = softcap});
  return nb::make_tuple(results.output, results.key, results.value);
}

void bind_attention(nb::module_& m) {
  const nb::object none = nb::none();
  m.def("attention", attention, nb::arg("query"), nb::arg("key"), nb::arg("value"), nb::arg("heads"),
        nb::arg("kv_heads"), nb::arg("past_key").none() = none, nb::arg("past_value").none() = none,
        nb::arg("mask").none() = none, nb::arg("position_ids").none() = none,
        nb::arg("frequencies").none() = none, nb::arg("interleaved") = false, nb::arg("scale").none() = none,
        nb::arg("softcap") = 0.0,
        "query [B, L, H * D], key and value [B, S, G * D] -> (output [B, L, H * D], all keys, all values)");
  m.def("rotary_embedding", op::rotary_embedding, nb::arg("x"), nb::arg("cos"), nb::arg("sin"),
        nb::arg("heads"), nb::arg("interleaved") = false);
  m.def("tail", op::tail, nb::arg("x"), nb::arg("axis"), nb::arg("count"), nb::arg("symbol"),
        "x[-count:] of an axis for a scalar int64 count, or all of it for 0.");
}

}  // namespace

void bind_ops(nb::module_& m) {
  bind_elementwise(m);
  bind_shapes(m);
  bind_reductions(m);
  bind_layers(m);
  bind_attention(m);
}

}  // namespace onnxport::python
