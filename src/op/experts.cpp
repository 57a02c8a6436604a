// Mixture of experts.
#include "op/experts.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <system_error>

#include "onnxport/expert_ops.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

namespace {

constexpr std::string_view kClampedSilu = "clamped_silu";

// "clamped_silu 7" as a name and a number, which is 0 unless all of the text is one.
Attrs attributes_of(std::string_view activation) {
  if (!activation.starts_with(kClampedSilu)) return {{"activation", std::string(activation)}};
  const std::string_view text = activation.substr(kClampedSilu.size());
  double limit = 0;
  if (text.starts_with(' ')) {
    const char* const end = text.data() + text.size();
    const auto [read, error] = std::from_chars(text.data() + 1, end, limit);
    if (error != std::errc() || read != end) limit = 0;
  }
  return {{"activation", std::string(kClampedSilu)}, {"limit", limit}};
}

}  // namespace

Value mixture_of_experts(Value x, Value routing, const Experts& experts, std::string_view activation) {
  return detail::make(x.graph(), Op::mixture_of_experts,
                      {x, routing, experts.gate, experts.up, experts.down, experts.gate_bias, experts.up_bias,
                       experts.down_bias},
                      attributes_of(activation))
      .out();
}

namespace detail {

std::optional<double> clamped_silu_limit(const Attrs& attrs) {
  if (attrs.get<std::string>("activation") != kClampedSilu) return {};
  return attrs.get<double>("limit");
}

Types infer_mixture_of_experts(const Node& node) {
  if (node.inputs.size() != 8) reject(node, "got {} operands, expected 8", node.inputs.size());
  const TensorType& x = operand(node, 0);
  const TensorType& routing = operand(node, 1);
  const TensorType& gate = operand(node, 2);
  const TensorType& down = operand(node, 4);
  require_float(node, x);
  for (const TensorType* other : {&routing, &gate, &down}) require_same_dtype(node, x, *other);
  if (x.shape.size() != 2 || down.shape.size() != 3 || routing.shape != Shape{x.shape[0], down.shape[0]}) {
    reject(node, "tokens {} and routing {} do not fit experts that end with {}", to_string(x.shape),
           to_string(routing.shape), to_string(down.shape));
  }
  const Dim &experts = down.shape[0], &width = x.shape[1], &inner = down.shape[2];
  const bool has_up = static_cast<bool>(node.inputs[3]);
  const std::string& activation = node.attrs.get<std::string>("activation");
  if (!inner.is_constant()) reject(node, "down {} has no fixed width", to_string(down.shape));
  const bool halves = !has_up && gate.shape == Shape{experts, inner * 2, width};
  const bool fits = down.shape[1] == width && (halves || gate.shape == Shape{experts, inner, width}) &&
                    (!has_up || operand(node, 3) == gate);
  if (!fits) {
    reject(node, "gate {}, up {} and down {} do not fit tokens {}", to_string(gate.shape),
           has_up ? to_string(operand(node, 3).shape) : "none", to_string(down.shape), to_string(x.shape));
  }
  for (const std::size_t i : {2, 3, 4}) {
    const Value bias = node.inputs[i + 3];
    if (!bias) continue;
    const TensorType& weight = operand(node, i);
    const TensorType expected = {x.dtype, {weight.shape[0], weight.shape[1]}};
    if (bias.type() != expected)
      reject(node, "bias {}, expected {}", to_string(bias.type()), to_string(expected));
  }
  constexpr std::array<std::string_view, 6> known = {
      "silu", "gelu", "relu", "relu2", "gelu_pytorch_tanh", "swiglu_oai"};
  const bool named = std::find(known.begin(), known.end(), activation) != known.end();
  const std::optional<double> limit = clamped_silu_limit(node.attrs);
  const bool clamped = limit && *limit > 0 && std::isfinite(*limit);
  if (!named && !clamped)
    reject(node, "activation is \"{}\", expected one of {}, clamped_silu and a limit", activation,
           fmt::join(known, ", "));
  if ((clamped || activation == "swiglu_oai") && !has_up && !halves)
    reject(node, "{} needs a gate", activation);
  return {x};
}

}  // namespace detail
}  // namespace onnxport::op
