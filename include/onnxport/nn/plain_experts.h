/// Experts without a gate, and the float32 layer in front of their routers.
#pragma once

#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/experts.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// The weights of experts that compute down(activation(up(x))), for Experts: its `gate` is the first layer.
/// Keys: for each expert expert_{e}.{up,down}.weight and maybe their biases.
ONNXPORT_API ExpertWeights plain_expert_weights(const Scope& s, const ExpertSizes& sizes,
                                                const std::string& up, const std::string& down);

/// A linear layer on x [..., in], computed in float32 as Router does -> float32 [..., out].
ONNXPORT_API Value linear_in_float32(const Linear& linear, Value x);

}  // namespace onnxport::nn
