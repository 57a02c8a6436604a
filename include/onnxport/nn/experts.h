/// Mixtures of experts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"
#include "onnxport/weight.h"

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

/// Top-k routing over gated experts (Shazeer et al. 2017): the softmax over all experts in float32, of which
/// the largest k count. Keys: gate, experts.{e}.….
class ONNXPORT_API SparseMixture {
 public:
  SparseMixture(const Scope& s, MixtureParameters p);
  Value operator()(Value x) const;

 private:
  struct ExpertWeights {
    Weight gate, up, down;
  };
  std::string path_;
  MixtureParameters parameters_;
  Linear router_;
  std::vector<ExpertWeights> experts_;
};

}  // namespace onnxport::nn
