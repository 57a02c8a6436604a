#include "onnxport/nn/basic.h"

#include "onnxport/op.h"

namespace onnxport::nn {

Linear::Linear(const Scope& s, std::int64_t in, std::int64_t out, bool bias)
    : path_(s.path()),
      weight_(s.weight("weight", {out, in})),
      bias_(bias ? s.weight("bias", {out}) : Weight()) {}

Linear::Linear(std::string path, Weight weight, Weight bias)
    : path_(std::move(path)), weight_(std::move(weight)), bias_(std::move(bias)) {}

Value Linear::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value weight = x.graph().weight(weight_);
  const Value bias = bias_ ? x.graph().weight(bias_) : Value();
  return op::linear(x, weight, bias);
}

Embedding::Embedding(const Scope& s, std::int64_t count, std::int64_t width)
    : path_(s.path()), weight_(s.weight("weight", {count, width})) {}

Value Embedding::operator()(Value indices) const {
  const ModulePath at(indices, path_);
  return op::embedding(indices.graph().weight(weight_), indices);
}

Value Embedding::first(Graph& graph, const Dim& count) const {
  const ModulePath at(graph, path_);
  return op::slice(graph.weight(weight_), 0, 0, count);
}

LayerNorm::LayerNorm(const Scope& s, std::int64_t width, double eps)
    : path_(s.path()), weight_(s.weight("weight", {width})), bias_(s.weight("bias", {width})), eps_(eps) {}

Value LayerNorm::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value weight = x.graph().weight(weight_);
  const Value bias = x.graph().weight(bias_);
  return op::layer_norm(x, weight, bias, eps_);
}

}  // namespace onnxport::nn
