#include "onnxport/nn/plain_experts.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

/// One tensor of all experts, from one for each.
Weight stack(const Scope& s, std::int64_t experts, const std::string& name, const char* leaf,
             const std::vector<std::int64_t>& shape, const char* prefix = "") {
  std::vector<Weight> parts;
  for (std::int64_t e = 0; e < experts; ++e)
    parts.push_back((s / fmt::format("{}{}", prefix, e) / name).weight(leaf, shape));
  std::vector<std::int64_t> all = {experts};
  all.insert(all.end(), shape.begin(), shape.end());
  return Weight::concat(parts, 0).reshape(all).named(fmt::format("{}.{}", (s / name).path(), leaf));
}

}  // namespace

ExpertWeights expert_weights(const Scope& s, const ExpertSizes& sizes, const ExpertNames& names) {
  const std::int64_t inner = sizes.intermediate_size, hidden = sizes.hidden_size, experts = sizes.experts;
  if (s.has("gate_up_proj")) {
    return {s.weight("gate_up_proj", {experts, 2 * inner, hidden}),
            {},
            s.weight("down_proj", {experts, hidden, inner})};
  }
  const auto weight = [&](const std::string& name, std::int64_t rows, std::int64_t columns) {
    if ((s / name).has("weight")) return (s / name).weight("weight", {experts, rows, columns});
    return stack(s, experts, name, "weight", {rows, columns});
  };
  const auto bias = [&](const std::string& name, std::int64_t rows) {
    return (s / 0 / name).has("bias") ? stack(s, experts, name, "bias", {rows}) : Weight();
  };
  Weight gate = weight(names.gate, inner, hidden);
  Weight up = weight(names.up, inner, hidden);
  Weight down = weight(names.down, hidden, inner);
  return {std::move(gate),         std::move(up),         std::move(down),
          bias(names.gate, inner), bias(names.up, inner), bias(names.down, hidden)};
}

ExpertWeights plain_expert_weights(const Scope& s, const ExpertSizes& sizes, const std::string& up,
                                   const std::string& down) {
  constexpr const char* kPrefix = "expert_";
  const std::int64_t inner = sizes.intermediate_size, hidden = sizes.hidden_size, experts = sizes.experts;
  const auto bias = [&](const std::string& name, std::int64_t rows) {
    const bool stored = (s / fmt::format("{}0", kPrefix) / name).has("bias");
    return stored ? stack(s, experts, name, "bias", {rows}, kPrefix) : Weight();
  };
  Weight first = stack(s, experts, up, "weight", {inner, hidden}, kPrefix);
  Weight last = stack(s, experts, down, "weight", {hidden, inner}, kPrefix);
  return {.gate = std::move(first),
          .down = std::move(last),
          .gate_bias = bias(up, inner),
          .down_bias = bias(down, hidden)};
}

Experts::Experts(ExpertWeights weights, std::string activation)
    : weights_(std::move(weights)), activation_(std::move(activation)) {
  for (const char* name : {"gelu_new", "gelu_fast"})
    if (activation_ == name) activation_ = "gelu_pytorch_tanh";
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
