#include "models/text_encoders/common/deberta.h"
#include "onnxport/nn/attention.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

// Padding sees no token, and no token sees padding. A padding query attends to all keys equally.
Value mask_of(Value attention_mask, DType dtype) {
  const Value keys = nn::padding_bias(attention_mask, dtype);
  return op::minimum(keys, op::transpose(keys, 2, 3));
}

Value without_padding(Value x, Value keep) { return keep ? op::mul(x, keep) : x; }

}  // namespace

DebertaLayer::DebertaLayer(const Scope& s, const DebertaConfig& c)
    : path_(s.path()),
      attention_(s / "attention" / "self", c.attention),
      attention_output_(s / "attention" / "output" / "dense", c.hidden_size, c.hidden_size),
      attention_norm_(c.norm(s / "attention" / "output" / "LayerNorm")),
      mlp_(s.path(), nn::Linear(s / "intermediate" / "dense", c.hidden_size, c.intermediate_size),
           nn::Linear(s / "output" / "dense", c.intermediate_size, c.hidden_size), c.hidden_act),
      output_norm_(c.norm(s / "output" / "LayerNorm")) {}

Value DebertaLayer::operator()(Value x, const DisentangledContext& shared) const {
  const ModulePath at(x, path_);
  const Value context = attention_(x, shared);
  const Value attended = attention_norm_(op::add(attention_output_(context), x));
  return output_norm_(op::add(mlp_(attended), attended));
}

DebertaConvLayer::DebertaConvLayer(const Scope& s, const DebertaConfig& c)
    : path_(s.path()),
      weight_(
          (s / "conv").weight("weight", {c.hidden_size, c.hidden_size / c.conv_groups, c.conv_kernel_size})),
      bias_((s / "conv").weight("bias", {c.hidden_size})),
      groups_(c.conv_groups),
      padding_(c.conv_kernel_size / 2),
      activation_(c.conv_act),
      norm_(c.norm(s / "LayerNorm")) {}

Value DebertaConvLayer::operator()(Value x, Value residual, Value keep) const {
  const ModulePath at(x, path_);
  const Value kernel = x.graph().weight(weight_);
  const op::ConvOptions options = {.padding = {padding_}, .groups = groups_};
  const Value bias = x.graph().weight(bias_);
  const Value mixed = op::conv1d(op::permute(x, {0, 2, 1}), kernel, bias, options);
  const Value kept = without_padding(op::permute(mixed, {0, 2, 1}), keep);
  return without_padding(norm_(op::add(residual, activation_(kept))), keep);
}

DebertaEncoder::DebertaEncoder(const Scope& s, const DebertaConfig& c)
    : path_(s.path()), distances_(c.distances) {
  const DisentangledAttentionParameters& p = c.attention;
  if (p.projections != PositionProjections::none && (p.content_to_position || p.position_to_content)) {
    rel_embeddings_ = (s / "rel_embeddings").weight("weight", {2 * c.distances.span(), c.hidden_size});
    if (c.norm_rel_ebd) rel_norm_.emplace(c.norm(s / "LayerNorm"));
  } else {
    for (const char* unused : {"rel_embeddings", "LayerNorm"}) s.ignore(unused);
  }
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) layers_.emplace_back(s / "layer" / i, c);
  if (c.conv_kernel_size > 0) conv_.emplace(s / "conv", c);
}

DisentangledContext DebertaEncoder::context(Graph& graph, Value x, Value attention_mask) const {
  const ModulePath at(graph, path_);
  DisentangledContext shared;
  if (attention_mask) shared.mask = mask_of(attention_mask, x.dtype());
  if (rel_embeddings_) {
    const Value stored = graph.weight(rel_embeddings_);
    shared.positions = rel_norm_ ? (*rel_norm_)(stored) : stored;
    shared.rows.emplace(graph, x.dim(1), distances_);
  }
  return shared;
}

std::vector<Value> DebertaEncoder::states(Value x, Value attention_mask) const {
  Value keep;
  if (attention_mask) keep = op::unsqueeze(op::cast(attention_mask, x.dtype()), 2);
  x = without_padding(x, keep);
  const DisentangledContext shared = context(x.graph(), x, attention_mask);
  std::vector<Value> states = {x};
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    x = layers_[i](x, shared);
    if (i == 0 && conv_) x = (*conv_)(states.front(), x, keep);
    states.push_back(x);
  }
  return states;
}

}  // namespace onnxport::models
