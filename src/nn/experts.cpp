#include "onnxport/nn/experts.h"
#include "onnxport/expert_ops.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

/// Reads the tensors of all experts as one.
struct Stacks {
  const Scope& s;
  std::int64_t experts;
  const std::string& prefix;

  Scope expert(std::int64_t e) const { return s / fmt::format("{}{}", prefix, e); }
  /// From one for each.
  Weight stacked(const std::string& name, const char* leaf, const std::vector<std::int64_t>& shape) const {
    std::vector<Weight> parts;
    for (std::int64_t e = 0; e < experts; ++e) parts.push_back((expert(e) / name).weight(leaf, shape));
    std::vector<std::int64_t> all = {experts};
    all.insert(all.end(), shape.begin(), shape.end());
    return Weight::concat(parts, 0).reshape(all).named(fmt::format("{}.{}", (s / name).path(), leaf));
  }
  Weight weight(const std::string& name, std::int64_t rows, std::int64_t columns) const {
    if (s.has(name)) return s.weight(name, {experts, rows, columns});
    if ((s / name).has("weight")) return (s / name).weight("weight", {experts, rows, columns});
    return stacked(name, "weight", {rows, columns});
  }
  Weight bias(const std::string& name, std::int64_t rows) const {
    if ((s / name).has("bias")) return (s / name).weight("bias", {experts, rows});
    return (expert(0) / name).has("bias") ? stacked(name, "bias", {rows}) : Weight();
  }
};

}  // namespace

ExpertWeights expert_weights(const Scope& s, const ExpertSizes& sizes, const ExpertNames& names) {
  const std::int64_t inner = sizes.intermediate_size, hidden = sizes.hidden_size, experts = sizes.experts;
  if (s.has("gate_up_proj")) {
    return {s.weight("gate_up_proj", {experts, 2 * inner, hidden}),
            {},
            s.weight("down_proj", {experts, hidden, inner})};
  }
  const Stacks of{s, experts, names.prefix};
  Weight gate = of.weight(names.gate, inner, hidden);
  Weight up = of.weight(names.up, inner, hidden);
  Weight down = of.weight(names.down, hidden, inner);
  return {std::move(gate),          std::move(up),
          std::move(down),          of.bias(names.gate, inner),
          of.bias(names.up, inner), of.bias(names.down, hidden)};
}

ExpertWeights plain_expert_weights(const Scope& s, const ExpertSizes& sizes, const ExpertNames& names) {
  const std::int64_t inner = sizes.intermediate_size, hidden = sizes.hidden_size;
  const Stacks of{s, sizes.experts, names.prefix};
  ExpertWeights weights;
  weights.gate = of.weight(names.up, inner, hidden);
  weights.down = of.weight(names.down, hidden, inner);
  weights.gate_bias = of.bias(names.up, inner);
  weights.down_bias = of.bias(names.down, hidden);
  return weights;
}

Experts::Experts(ExpertWeights weights, std::string activation)
    : weights_(std::move(weights)), activation_(std::move(activation)) {
  if (activation_ == "gelu_new" || activation_ == "gelu_fast") activation_ = "gelu_pytorch_tanh";
}

Value Experts::operator()(Value tokens, Value routing) const {
  Graph& graph = tokens.graph();
  const auto value = [&](const Weight& weight) { return weight ? graph.weight(weight) : Value(); };
  const op::Experts experts{.gate = value(weights_.gate),
                            .up = value(weights_.up),
                            .down = value(weights_.down),
                            .gate_bias = value(weights_.gate_bias),
                            .up_bias = value(weights_.up_bias),
                            .down_bias = value(weights_.down_bias)};
  return op::mixture_of_experts(tokens, routing, experts, activation_);
}

SparseMixture::SparseMixture(std::string path, Router router, Experts experts)
    : path_(std::move(path)), router_(std::move(router)), experts_(std::move(experts)) {}

SparseMixture::SparseMixture(const Scope& s, const ExpertSizes& sizes, Routing routing,
                             std::string activation, const ExpertNames& names)
    : SparseMixture(s.path(),
                    Router(Linear(s / "gate", sizes.hidden_size, sizes.experts, false), std::move(routing)),
                    Experts(expert_weights(s / "experts", sizes, names), std::move(activation))) {}

Value SparseMixture::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value tokens = op::flatten(x, 0, 1);
  const Routes routes = router_(tokens);
  const Value made = experts_(tokens, routing_matrix(routes, router_.experts()));
  return op::reshape(made, x.shape());
}

FeedForward sum_of(FeedForward a, FeedForward b) {
  return [a = std::move(a), b = std::move(b)](Value x) {
    const Value first = a(x);
    return op::add(first, b(x));
  };
}

}  // namespace onnxport::nn
