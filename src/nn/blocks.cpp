#include "onnxport/nn/blocks.h"

#include <fmt/format.h>

#include <utility>

#include "onnxport/op.h"

namespace onnxport::nn {

Value PreNormBlock::operator()(Value x, DecoderPass& pass) const {
  x = op::add(x, attention(before_attention(x), pass));
  return op::add(x, mlp(before_mlp(x)));
}

Value PostNormBlock::operator()(Value x, DecoderPass& pass) const {
  x = after_attention(op::add(x, attention(x, pass)));
  return after_mlp(op::add(x, mlp(x)));
}

Value SandwichBlock::operator()(Value x, DecoderPass& pass) const {
  const Value attended = attention(before_attention ? before_attention(x) : x, pass);
  x = op::add(x, after_attention(attended));
  const Value made = mlp(before_mlp ? before_mlp(x) : x);
  return op::add(x, after_mlp(made));
}

Value ParallelBlock::operator()(Value x, DecoderPass& pass) const {
  const Value normed = before_attention(x);
  const Value attended = attention(normed, pass);
  const Value made = mlp(before_mlp ? before_mlp(x) : normed);
  return op::add(op::add(made, attended), x);
}

Mixer scaled(Mixer attention, double factor) {
  return [attention = std::move(attention), factor](Value x, DecoderPass& pass) {
    return op::mul(attention(x, pass), factor);
  };
}

FeedForward scaled(FeedForward mlp, double factor) {
  return [mlp = std::move(mlp), factor](Value x) { return op::mul(mlp(x), factor); };
}

DecoderStack::DecoderStack(const Scope& s, std::string_view layers, std::int64_t count,
                           const MakeBlock& make_block, std::function<Value(DecoderPass&)> embed, Norm norm)
    : path_(s.path()), embed_(std::move(embed)), norm_(std::move(norm)) {
  for (std::int64_t i = 0; i < count; ++i) {
    const Scope layer = s / layers / i;
    layers_.push_back({layer.path(), make_block(layer, i)});
  }
}

Value DecoderStack::operator()(DecoderPass& pass) const {
  const ModulePath at(pass.graph(), path_);
  Value x = embed_(pass);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    pass.give(fmt::format("hidden_states.{}", i), x);
    const ModulePath inside(x, layers_[i].path);
    x = layers_[i].block(x, pass);
  }
  if (norm_) x = norm_(x);
  pass.give(fmt::format("hidden_states.{}", layers_.size()), x);
  return x;
}

}  // namespace onnxport::nn
