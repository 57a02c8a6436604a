#include "onnxport/nn/basic.h"

#include "onnxport/op.h"

namespace onnxport::nn {

Linear::Linear(const Scope& s, std::int64_t in, std::int64_t out, bool bias)
    : path_(s.path()),
      weight_(s.weight("weight", {out, in})),
      bias_(bias ? s.weight("bias", {out}) : Weight()) {}

Linear::Linear(std::string path, Weight weight, Weight bias)
    : path_(std::move(path)), weight_(std::move(weight)), bias_(std::move(bias)) {}

Linear Linear::transposed(const Scope& s, std::int64_t in, std::int64_t out) {
  const Weight stored = s.weight("weight", {in, out});
  return {s.path(), stored.permute({1, 0}), s.weight("bias", {out})};
}

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

LayerNorm::LayerNorm(const Scope& s, std::int64_t width, double eps, bool affine, bool bias)
    : path_(s.path()),
      weight_(affine ? s.weight("weight", {width}) : Weight()),
      bias_(affine && bias ? s.weight("bias", {width}) : Weight()),
      eps_(eps) {}

Value LayerNorm::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value weight = weight_ ? x.graph().weight(weight_) : Value();
  const Value bias = bias_ ? x.graph().weight(bias_) : Value();
  return op::layer_norm(x, weight, bias, eps_);
}

RmsNorm::RmsNorm(const Scope& s, std::int64_t width, const NormParameters& p)
    : path_(s.path()), weight_(s.weight("weight", {width})), eps_(p.eps) {
  // Added in float32, like the originals, because half precision would lose precision of the checkpoint.
  if (p.offset != 0)
    weight_ = weight_.cast(DType::f32).add(Weight::from_doubles(DType::f32, {}, {&p.offset, 1}));
}

Value RmsNorm::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value weight = x.graph().weight(weight_);
  return op::cast(op::rms_norm(x, op::cast(weight, x.dtype()), eps_), weight.dtype());
}

Value clamp_half(Value x) {
  if (x.dtype() != DType::f16) return x;
  constexpr double kMargin = 1000;
  const double limit = highest(DType::f16) - kMargin;
  return op::clamp(x, -limit, limit);
}

}  // namespace onnxport::nn
