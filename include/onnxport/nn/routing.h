/// Routers of mixtures of experts: which experts a token passes, and how much each counts. A router is a
/// linear layer and a Routing, which a definition composes from the functions below.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"
#include "onnxport/weight.h"

namespace onnxport::nn {

/// N tokens to E experts, all in float32: logits or scores [N, E] -> scores [N, E].
using Scores = std::function<Value(Value)>;
/// Softmax over the experts.
ONNXPORT_API Value softmax_scores(Value logits);
/// Adds a bias [E], which balances the load of the experts.
ONNXPORT_API Scores plus_bias(const Weight& bias);

/// The experts in groups of consecutive ones.
struct ExpertGroups {
  std::int64_t count = 1;      ///< of all groups
  std::int64_t kept = 1;       ///< the groups with the largest scores
  std::int64_t judged_by = 1;  ///< the score of a group is the sum of this many of its largest scores
  double outside = 0;          ///< the scores of experts in other groups
};
/// Scores of experts outside the kept groups become `outside`. (DeepSeek-AI 2024)
ONNXPORT_API Value within_best_groups(Value scores, const ExpertGroups& groups);

/// The k experts of each token (int64 [N, k]) with the weights of their results (float32 [N, k]).
using Routes = op::TopK;
/// Logits float32 [N, E] -> the experts of each token.
using Routing = std::function<Routes(Value logits)>;
/// The largest k of all scores. (Shazeer et al. 2017 with `softmax_scores`)
ONNXPORT_API Routing largest_scores(Scores scores, std::int64_t k);
/// The scores of the largest k logits.
ONNXPORT_API Routing scores_of_largest(std::int64_t k, Scores scores);
/// The scores of the k experts that `preference`, a function of the scores, makes the largest.
ONNXPORT_API Routing preferred_scores(Scores scores, Scores preference, std::int64_t k);
/// The weights of a token sum to one; their sum counts as `least` if it is smaller.
ONNXPORT_API Routing normalized(Routing routing, double least = 0);
/// Multiplies the weights.
ONNXPORT_API Routing multiplied(Routing routing, double factor);

/// A linear layer on x [..., in], computed in float32 as Router does -> float32 [..., out].
ONNXPORT_API Value linear_in_float32(const Linear& linear, Value x);

/// The linear layer in front of a routing. Both compute in float32: in half precision, the logits would be
/// rounded to 11 bits or fewer, and then more tokens would go to another expert than in the original model.
class ONNXPORT_API Router {
 public:
  Router(Linear gate, Routing routing);
  /// tokens [N, D]
  Routes operator()(Value tokens) const;
  std::int64_t experts() const { return gate_.weight().shape()[0]; }

 private:
  Linear gate_;
  Routing routing_;
};

/// A column for each expert: [N, experts] in the dtype of the graph, 0 for experts that a token does not
/// pass.
ONNXPORT_API Value routing_matrix(const Routes& routes, std::int64_t experts);

}  // namespace onnxport::nn
