#include "onnxport/nn/experts.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {

SparseMixture::SparseMixture(const Scope& s, MixtureParameters p)
    : path_(s.path()),
      parameters_(std::move(p)),
      router_(s / "gate", parameters_.hidden_size, parameters_.experts, false) {
  const MixtureParameters& m = parameters_;
  if (m.experts_per_token < 1 || m.experts_per_token > m.experts) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{} experts per token of {}", m.experts_per_token, m.experts));
  }
  for (std::int64_t e = 0; e < m.experts; ++e) {
    const Scope expert = s / "experts" / e;
    experts_.push_back({(expert / m.gate).weight("weight", {m.intermediate_size, m.hidden_size}),
                        (expert / m.up).weight("weight", {m.intermediate_size, m.hidden_size}),
                        (expert / m.down).weight("weight", {m.hidden_size, m.intermediate_size})});
  }
}

Value SparseMixture::operator()(Value x) const {
  Graph& graph = x.graph();
  const ModulePath at(graph, path_);
  const Value tokens = op::flatten(x, 0, 1);
  const Value logits = op::cast(router_(tokens), DType::f32);
  op::TopK top = op::topk(op::softmax(logits, -1), parameters_.experts_per_token, -1);
  if (parameters_.normalize) top.values = op::div(top.values, op::sum(top.values, -1, true));
  // One column per expert: [N, k] indices and weights -> [N, experts].
  const Value chosen = op::eq(op::unsqueeze(top.indices, 2), op::arange(graph, parameters_.experts));
  const Value weights = op::unsqueeze(op::cast(top.values, graph.float_dtype()), 2);
  const Value routing = op::sum(op::mul(op::cast(chosen, graph.float_dtype()), weights), 1);
  std::vector<op::Expert> experts;
  for (const ExpertWeights& expert : experts_) {
    const Value gate = graph.weight(expert.gate);
    const Value up = graph.weight(expert.up);
    experts.push_back({gate, up, graph.weight(expert.down)});
  }
  const Value made = op::mixture_of_experts(tokens, routing, experts, parameters_.activation);
  return op::reshape(made, x.shape());
}

}  // namespace onnxport::nn
