#include "onnxport/nn/routing.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "onnxport/error.h"

namespace onnxport::nn {
namespace {

void check_chosen(std::int64_t k, const Dim& of, const char* what) {
  if (k >= 1 && (!of.is_constant() || k <= *of.constant())) return;
  throw ExportError(ErrorCode::bad_config, fmt::format("{} {} of {}", k, what, of.str()));
}

Routes top(Value scores, std::int64_t k) {
  check_chosen(k, scores.dim(-1), "experts per token");
  return op::topk(scores, k, -1);
}

}  // namespace

Value softmax_scores(Value logits) { return op::softmax(logits, -1); }

Scores plus_bias(const Weight& bias) {
  return [bias](Value scores) { return op::add(scores, scores.graph().weight_as_is(bias.cast(DType::f32))); };
}

Value within_best_groups(Value scores, const ExpertGroups& groups) {
  const Dim& tokens = scores.dim(0);
  const std::int64_t experts = *scores.dim(1).constant();
  if (groups.count < 1 || experts % groups.count != 0) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{} experts in {} groups", experts, groups.count));
  }
  const std::int64_t size = experts / groups.count;
  check_chosen(groups.kept, groups.count, "groups of experts");
  if (groups.kept == groups.count) return scores;
  check_chosen(groups.judged_by, size, "experts per group");
  const Value apart = op::reshape(scores, {tokens, groups.count, size});
  const Value judged = op::sum(op::topk(apart, groups.judged_by, -1).values, -1);  // [N, groups]
  const Value best = op::unsqueeze(op::topk(judged, groups.kept, -1).indices, 2);  // [N, kept, 1]
  const Value chosen = op::eq(best, op::arange(scores.graph(), groups.count));     // [N, kept, groups]
  const Value kept = op::gt(op::sum(op::cast(chosen, scores.dtype()), 1), 0.0);    // [N, groups]
  const Value others = op::scalar(scores.graph(), groups.outside, scores.dtype());
  return op::reshape(op::where(op::unsqueeze(kept, 2), apart, others), scores.shape());
}

Routing largest_scores(Scores scores, std::int64_t k) {
  return [scores = std::move(scores), k](Value logits) { return top(scores(logits), k); };
}

Routing scores_of_largest(std::int64_t k, Scores scores) {
  return [scores = std::move(scores), k](Value logits) {
    Routes routes = top(logits, k);
    routes.values = scores(routes.values);
    return routes;
  };
}

Routing preferred_scores(Scores scores, Scores preference, std::int64_t k) {
  return [scores = std::move(scores), preference = std::move(preference), k](Value logits) {
    const Value all = scores(logits);
    const Value experts = top(preference(all), k).indices;
    return Routes{op::gather(all, 1, experts), experts};
  };
}

Routing normalized(Routing routing, double least) {
  return [routing = std::move(routing), least](Value logits) {
    Routes routes = routing(logits);
    Value sum = op::sum(routes.values, -1, true);
    if (least > 0) sum = op::maximum(sum, least);
    routes.values = op::div(routes.values, sum);
    return routes;
  };
}

Routing multiplied(Routing routing, double factor) {
  if (factor == 1) return routing;
  return [routing = std::move(routing), factor](Value logits) {
    Routes routes = routing(logits);
    routes.values = op::mul(routes.values, factor);
    return routes;
  };
}

Router::Router(Linear gate, Routing routing) : gate_(std::move(gate)), routing_(std::move(routing)) {}

Value linear_in_float32(const Linear& linear, Value x) {
  const ModulePath at(x, linear.path());
  Graph& graph = x.graph();
  const Value wide = op::cast(x, DType::f32);
  const Value weight = op::cast(graph.weight(linear.weight()), DType::f32);
  const Value bias = linear.bias() ? op::cast(graph.weight(linear.bias()), DType::f32) : Value();
  return op::linear(wide, weight, bias);
}

Routes Router::operator()(Value tokens) const {
  const ModulePath at(tokens, gate_.path());
  return routing_(linear_in_float32(gate_, tokens));
}

Value routing_matrix(const Routes& routes, std::int64_t experts) {
  Graph& graph = routes.values.graph();
  const Value indices = op::unsqueeze(routes.indices, 2);
  const Value chosen = op::eq(indices, op::arange(graph, experts));
  const Value weights = op::unsqueeze(op::cast(routes.values, graph.float_dtype()), 2);
  return op::sum(op::mul(op::cast(chosen, graph.float_dtype()), weights), 1);
}

}  // namespace onnxport::nn
