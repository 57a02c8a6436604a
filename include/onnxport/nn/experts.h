/// Mixtures of experts: feed-forward layers of which each token passes only some.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct MixtureParameters {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t experts = 0;
  std::int64_t experts_per_token = 0;
  bool normalize = true;  ///< the weights of a token's experts sum to one
  std::string activation = "silu";
  /// Keys below each expert.
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
};

/// Weights of gated experts, stacked: one tensor for all experts.
struct ExpertWeights {
  Weight gate;  ///< [experts, intermediate, hidden]; without `up`, gate and up of each expert together
  Weight up;    ///< [experts, intermediate, hidden], or empty
  Weight down;  ///< [experts, hidden, intermediate]
};
/// The weights below `s` in any form that a checkpoint may have: for each expert {e}.{gate,up,down}.weight;
/// for all of them {gate,up,down}.weight; or gate_up_proj and down_proj.
ONNXPORT_API ExpertWeights expert_weights(const Scope& s, const MixtureParameters& p);

/// Top-k routing over gated experts (Shazeer et al. 2017): the softmax over all experts in float32, of which
/// the largest k count. Keys: gate, experts.….
class ONNXPORT_API SparseMixture {
 public:
  SparseMixture(const Scope& s, MixtureParameters p);
  /// [B, S, H] -> [B, S, H]
  Value operator()(Value x) const;

 private:
  std::string path_;
  MixtureParameters parameters_;
  Linear router_;
  ExpertWeights experts_;
};

}  // namespace onnxport::nn
