#include "onnxport/nn/experts.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

/// One tensor of all experts, from one for each.
Weight stack(const Scope& s, std::int64_t experts, const std::string& name, std::int64_t rows,
             std::int64_t columns) {
  std::vector<Weight> parts;
  for (std::int64_t e = 0; e < experts; ++e)
    parts.push_back((s / e / name).weight("weight", {rows, columns}));
  return Weight::concat(parts, 0)
      .reshape({experts, rows, columns})
      .named(fmt::format("{}.weight", (s / name).path()));
}

// The router in float32. In half precision, its result would be rounded to 11 bits or fewer, and then more
// tokens would go to another expert than in the original model.
Value router_logits(const Linear& router, Value tokens) {
  const ModulePath at(tokens, router.path());
  const Value wide = op::cast(tokens, DType::f32);
  return op::linear(wide, op::cast(tokens.graph().weight(router.weight()), DType::f32));
}

}  // namespace

ExpertWeights expert_weights(const Scope& s, const MixtureParameters& p) {
  const std::int64_t inner = p.intermediate_size, hidden = p.hidden_size;
  if (s.has("gate_up_proj")) {
    return {s.weight("gate_up_proj", {p.experts, 2 * inner, hidden}),
            {},
            s.weight("down_proj", {p.experts, hidden, inner})};
  }
  const auto weight = [&](const std::string& name, std::int64_t rows, std::int64_t columns) {
    if ((s / name).has("weight")) return (s / name).weight("weight", {p.experts, rows, columns});
    return stack(s, p.experts, name, rows, columns);
  };
  Weight gate = weight(p.gate, inner, hidden);
  Weight up = weight(p.up, inner, hidden);
  return {std::move(gate), std::move(up), weight(p.down, hidden, inner)};
}

SparseMixture::SparseMixture(const Scope& s, MixtureParameters p)
    : path_(s.path()),
      parameters_(std::move(p)),
      router_(s / "gate", parameters_.hidden_size, parameters_.experts, false) {
  const MixtureParameters& m = parameters_;
  if (m.experts_per_token < 1 || m.experts_per_token > m.experts) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{} experts per token of {}", m.experts_per_token, m.experts));
  }
  experts_ = expert_weights(s / "experts", m);
}

Value SparseMixture::operator()(Value x) const {
  Graph& graph = x.graph();
  const ModulePath at(graph, path_);
  const Value tokens = op::flatten(x, 0, 1);
  op::TopK top = op::topk(op::softmax(router_logits(router_, tokens), -1), parameters_.experts_per_token, -1);
  if (parameters_.normalize) top.values = op::div(top.values, op::sum(top.values, -1, true));
  // One column per expert: [N, k] indices and weights -> [N, experts].
  const Value chosen = op::eq(op::unsqueeze(top.indices, 2), op::arange(graph, parameters_.experts));
  const Value weights = op::unsqueeze(op::cast(top.values, graph.float_dtype()), 2);
  const Value routing = op::sum(op::mul(op::cast(chosen, graph.float_dtype()), weights), 1);
  const Value gate = graph.weight(experts_.gate);
  const Value up = experts_.up ? graph.weight(experts_.up) : Value();
  const op::Experts experts{.gate = gate, .up = up, .down = graph.weight(experts_.down)};
  const Value made = op::mixture_of_experts(tokens, routing, experts, parameters_.activation);
  return op::reshape(made, x.shape());
}

}  // namespace onnxport::nn
