// onnxport.op: recurrences, experts and samples. Their meaning is documented in onnxport/recurrence.h,
// expert_ops.h and index_ops.h.
#include "onnxport/recurrence.h"

#include <string>

#include "bind.h"
#include "onnxport/expert_ops.h"
#include "onnxport/index_ops.h"
#include "operands.h"

namespace onnxport::python {
namespace {

nb::tuple pair_of(const op::Recurrence& results) { return nb::make_tuple(results.output, results.state); }

nb::tuple causal_conv(const Value& x, const Value& weight, const MaybeValue& bias, const MaybeValue& past,
                      std::int64_t kept) {
  return pair_of(op::causal_conv(x, weight, absent_if_none(bias), absent_if_none(past), kept));
}

nb::tuple selective_scan(const Value& x, const Value& time_step, const Value& decay, const Value& input,
                         const Value& output, std::int64_t groups, const MaybeValue& past) {
  return pair_of(op::selective_scan({.x = x,
                                     .time_step = time_step,
                                     .decay = decay,
                                     .input = input,
                                     .output = output,
                                     .past = absent_if_none(past)},
                                    groups));
}

nb::tuple linear_attention(const Value& query, const Value& key, const Value& value, const Value& decay,
                           std::int64_t heads, std::int64_t key_heads, const MaybeValue& beta,
                           const MaybeValue& past) {
  return pair_of(op::linear_attention({.query = query,
                                       .key = key,
                                       .value = value,
                                       .decay = decay,
                                       .beta = absent_if_none(beta),
                                       .past = absent_if_none(past)},
                                      heads, key_heads));
}

nb::tuple linear_recurrence(const Value& x, const Value& remains, const MaybeValue& past) {
  return pair_of(op::linear_recurrence(x, remains, absent_if_none(past)));
}

using WkvSums = std::tuple<Value, Value, Value>;

nb::tuple wkv(const Value& key, const Value& value, const Value& decay, const Value& bonus,
              const std::optional<WkvSums>& past) {
  op::WkvState sums;
  if (past) sums = {std::get<0>(*past), std::get<1>(*past), std::get<2>(*past)};
  const op::Wkv results = op::wkv(key, value, decay, bonus, sums);
  return nb::make_tuple(results.output,
                        WkvSums(results.state.numerator, results.state.denominator, results.state.maximum));
}

nb::tuple lstm(const Value& x, const Value& input_weight, const Value& hidden_weight,
               const MaybeValue& input_bias, const MaybeValue& hidden_bias, const MaybeValue& past_hidden,
               const MaybeValue& past_cell) {
  const op::Lstm results = op::lstm({.x = x,
                                     .input_weight = input_weight,
                                     .hidden_weight = hidden_weight,
                                     .input_bias = absent_if_none(input_bias),
                                     .hidden_bias = absent_if_none(hidden_bias),
                                     .past_hidden = absent_if_none(past_hidden),
                                     .past_cell = absent_if_none(past_cell)});
  return nb::make_tuple(results.output, results.hidden, results.cell);
}

Value mixture_of_experts(const Value& x, const Value& routing, const Value& gate, const Value& down,
                         const std::string& activation, const MaybeValue& up, const MaybeValue& gate_bias,
                         const MaybeValue& up_bias, const MaybeValue& down_bias) {
  return op::mixture_of_experts(x, routing,
                                {.gate = gate,
                                 .up = absent_if_none(up),
                                 .down = down,
                                 .gate_bias = absent_if_none(gate_bias),
                                 .up_bias = absent_if_none(up_bias),
                                 .down_bias = absent_if_none(down_bias)},
                                activation);
}

}  // namespace

void bind_recurrences(nb::module_& m) {
  const nb::object none = nb::none();
  m.def("causal_conv", causal_conv, nb::arg("x"), nb::arg("weight"), nb::arg("bias").none(),
        nb::arg("past").none(), nb::arg("kept"),
        "x [B, C, L], weight [C, 1, K] -> (output [B, C, L], the last inputs [B, C, kept])");
  m.def("selective_scan", selective_scan, nb::arg("x"), nb::arg("time_step"), nb::arg("decay"),
        nb::arg("input"), nb::arg("output"), nb::arg("groups"), nb::arg("past").none() = none,
        "x [B, L, H * P] -> (output [B, L, H * P], state [B, H, P, N])");
  m.def("linear_attention", linear_attention, nb::arg("query"), nb::arg("key"), nb::arg("value"),
        nb::arg("decay"), nb::arg("heads"), nb::arg("key_heads"), nb::arg("beta").none() = none,
        nb::arg("past").none() = none,
        "query and key [B, L, G * D], value [B, L, H * E] -> (output [B, L, H * E], state [B, H, D, E])");
  m.def("linear_recurrence", linear_recurrence, nb::arg("x"), nb::arg("remains"),
        nb::arg("past").none() = none,
        "state = remains * state + x: [B, L, W] -> (output [B, L, W], state [B, W])");
  m.def("wkv", wkv, nb::arg("key"), nb::arg("value"), nb::arg("decay"), nb::arg("bonus"),
        nb::arg("past").none() = none,
        "key and value [B, L, W] -> (output [B, L, W], (numerator, denominator, maximum))");
  m.def("lstm", lstm, nb::arg("x"), nb::arg("input_weight"), nb::arg("hidden_weight"),
        nb::arg("input_bias").none() = none, nb::arg("hidden_bias").none() = none,
        nb::arg("past_hidden").none() = none, nb::arg("past_cell").none() = none,
        "x [B, L, I] -> (output [B, L, H], hidden [B, H], cell [B, H])");
  m.def("mixture_of_experts", mixture_of_experts, nb::arg("x"), nb::arg("routing"), nb::arg("gate"),
        nb::arg("down"), nb::arg("activation"), nb::arg("up").none() = none,
        nb::arg("gate_bias").none() = none, nb::arg("up_bias").none() = none,
        nb::arg("down_bias").none() = none, "x [N, D], routing [N, E] -> [N, D]");
  m.def(
      "grid_sample",
      [](const Value& x, const Value& grid, const std::string& mode, const std::string& padding_mode,
         bool align_corners) { return op::grid_sample(x, grid, mode, padding_mode, align_corners); },
      nb::arg("x"), nb::arg("grid"), nb::arg("mode") = "bilinear", nb::arg("padding_mode") = "zeros",
      nb::arg("align_corners") = false, "x [N, C, H, W], grid [N, H', W', 2] -> [N, C, H', W']");
}

}  // namespace onnxport::python
