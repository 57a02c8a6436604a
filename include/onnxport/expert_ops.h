/// The semantic op of a mixture of experts.
#pragma once

#include <string_view>

#include "onnxport/export_macro.h"
#include "onnxport/graph.h"

namespace onnxport::op {

/// The weights of E experts, stacked. Each expert is down(activation(gate(x)) * up(x)), or, without a gate,
/// down(activation(first(x))).
struct Experts {
  Value gate;     ///< [E, F, D]; without `up`: [E, 2 F, D], rows of gate, then of up; or [E, F, D], the first
                  ///< layer
  Value up = {};  ///< [E, F, D]
  Value down;     ///< [E, D, F]
  Value gate_bias = {}, up_bias = {}, down_bias = {};  ///< [E, rows of the weight], or absent
};

/// x [N, D], routing [N, E] -> [N, D]: the sum of the experts' results, weighted by `routing`. An expert sees
/// only the rows whose weight is not 0. With g and u, the results of `gate` and `up`, `activation` is
///
/// - "silu", "gelu", "gelu_pytorch_tanh", "relu", "relu2" (relu squared): that function of g, times u;
/// - "swiglu_oai" (gpt-oss): g sigmoid(1.702 g) (u + 1) of g <= 7 and |u| <= 7;
/// - "clamped_silu L": silu(g) u of g <= L and |u| <= L.
///
/// Experts without a gate have one of the first.
/// Throws ExportError(shape) like the ops of op.h.
ONNXPORT_API Value mixture_of_experts(Value x, Value routing, const Experts& experts,
                                      std::string_view activation);

}  // namespace onnxport::op
