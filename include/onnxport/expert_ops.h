/// The semantic op of a mixture of experts.
#pragma once

#include <string_view>

#include "onnxport/export_macro.h"
#include "onnxport/graph.h"

namespace onnxport::op {

/// The weights of E experts, stacked. Each expert is down(activation(gate(x)) * up(x)).
struct Experts {
  Value gate;     ///< [E, F, D]; or, without `up`, [E, 2 F, D]: rows of gate, then of up
  Value up = {};  ///< [E, F, D]
  Value down;     ///< [E, D, F]
  Value gate_bias = {}, up_bias = {}, down_bias = {};  ///< [E, rows of the weight], or absent
};

/// x [N, D], routing [N, E] -> [N, D]: the sum of the experts' results, weighted by `routing`. An expert sees
/// only the rows whose weight is not 0. With g and u, the results of `gate` and `up`, `activation` is
///
/// - "silu", "gelu", "gelu_pytorch_tanh", "relu": that function of g, times u;
/// - "swiglu_oai" (gpt-oss): g sigmoid(1.702 g) (u + 1) of g <= 7 and |u| <= 7;
/// - "clamped_silu L": silu(g) u of g <= L and |u| <= L;
/// - "relu2": experts without a gate. Each is down(relu(first(x))²), where `gate` [E, F, D] is the first
/// layer
///   and there is no `up`.
///
/// Throws ExportError(shape) like the ops of op.h.
ONNXPORT_API Value mixture_of_experts(Value x, Value routing, const Experts& experts,
                                      std::string_view activation);

}  // namespace onnxport::op
