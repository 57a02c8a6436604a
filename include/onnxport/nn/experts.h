/// Mixtures of experts: feed-forward layers of which each token passes only some.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/expert_ops.h"
#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/routing.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct ExpertSizes {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t experts = 0;
};
/// The keys of an expert's layers.
struct ExpertNames {
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
  std::string prefix = {};  ///< in front of the number of an expert, such as "expert_"
};

/// Weights of experts, stacked: one tensor for all experts. Biases may be empty.
struct ExpertWeights {
  Weight gate;  ///< [experts, intermediate, hidden]; without `up`, gate and up of each expert together
  Weight up;    ///< [experts, intermediate, hidden], or empty
  Weight down;  ///< [experts, hidden, intermediate]
  Weight gate_bias = {}, up_bias = {}, down_bias = {};  ///< [experts, rows of the weight]
};
/// The weights below `s` in any form that a checkpoint may have: for each expert {e}.{gate,up,down}.weight;
/// for all of them {gate,up,down}.weight or {gate,up,down}; or gate_up_proj and down_proj. Biases are read
/// in the first two forms.
ONNXPORT_API ExpertWeights expert_weights(const Scope& s, const ExpertSizes& sizes,
                                          const ExpertNames& names = {});

/// The weights of experts without a gate: those of `up` and `down` alone, in the same forms. The first layer
/// is `gate` of the result.
ONNXPORT_API ExpertWeights plain_expert_weights(const Scope& s, const ExpertSizes& sizes,
                                                const ExpertNames& names = {});

/// The experts of a mixture.
class ONNXPORT_API Experts {
 public:
  /// `activation`: as op::mixture_of_experts knows it, or another name of gelu_pytorch_tanh.
  Experts(ExpertWeights weights, std::string activation);
  /// tokens [N, D], routing [N, E] -> [N, D]: the sum of the results, weighted by `routing`.
  Value operator()(Value tokens, Value routing) const;

 private:
  ExpertWeights weights_;
  std::string activation_;
};

/// The sum of the experts to which a router sends each token.
class ONNXPORT_API SparseMixture {
 public:
  SparseMixture(std::string path, Router router, Experts experts);
  /// Keys: gate.weight, and those of expert_weights() below experts.
  SparseMixture(const Scope& s, const ExpertSizes& sizes, Routing routing, std::string activation,
                const ExpertNames& names = {});
  /// [B, S, H] -> [B, S, H]
  Value operator()(Value x) const;

 private:
  std::string path_;
  Router router_;
  Experts experts_;
};

/// The sum of both, such as a mixture and an expert that all tokens pass.
ONNXPORT_API FeedForward sum_of(FeedForward a, FeedForward b);

}  // namespace onnxport::nn
