// Mixture of experts.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "onnxport/op.h"
#include "op/infer.h"

namespace onnxport::op {

Value mixture_of_experts(Value x, Value routing, const std::vector<Expert>& experts,
                         std::string_view activation) {
  std::vector<Value> inputs = {x, routing};
  for (const Expert& expert : experts) inputs.insert(inputs.end(), {expert.gate, expert.up, expert.down});
  return detail::make(x.graph(), Op::mixture_of_experts, std::move(inputs),
                      {{"activation", std::string(activation)}})
      .out();
}

namespace detail {

Types infer_mixture_of_experts(const Node& node) {
  const TensorType& x = operand(node, 0);
  const TensorType& routing = operand(node, 1);
  require_float(node, x);
  require_same_dtype(node, x, routing);
  const std::int64_t experts = (static_cast<std::int64_t>(node.inputs.size()) - 2) / 3;
  if (x.shape.size() != 2 || routing.shape != Shape{x.shape[0], experts} ||
      static_cast<std::int64_t>(node.inputs.size()) != 2 + 3 * experts) {
    reject(node, "tokens {} and routing {} do not fit {} experts", to_string(x.shape),
           to_string(routing.shape), experts);
  }
  for (std::size_t i = 2; i + 2 < node.inputs.size(); i += 3) {
    const TensorType& up = operand(node, i + 1);
    require_same_dtype(node, x, up);
    const bool fits = up.shape.size() == 2 && up.shape[1] == x.shape[1] && operand(node, i) == up &&
                      operand(node, i + 2) == TensorType{up.dtype, {up.shape[1], up.shape[0]}};
    if (!fits) {
      reject(node, "expert {} of {}, {} and {} does not fit tokens {}", (i - 2) / 3,
             to_string(operand(node, i).shape), to_string(up.shape), to_string(operand(node, i + 2).shape),
             to_string(x.shape));
    }
  }
  constexpr std::array<std::string_view, 3> known = {"silu", "gelu", "relu"};
  const std::string& activation = node.attrs.get<std::string>("activation");
  if (std::find(known.begin(), known.end(), activation) == known.end())
    reject(node, "activation is \"{}\", expected one of {}", activation, fmt::join(known, ", "));
  return {x};
}

}  // namespace detail
}  // namespace onnxport::op
