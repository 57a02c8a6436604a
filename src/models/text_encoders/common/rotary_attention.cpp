#include "models/text_encoders/common/rotary_attention.h"

#include "onnxport/nn/attention.h"

namespace onnxport::models {

RotarySight rotary_sight(Value input_ids, Value attention_mask, const nn::RopeParameters& rope) {
  RotarySight sight{.mask = nn::padding_mask(attention_mask)};
  sight.mask.no_keys = op::NoKeys::zero;
  const Value positions = op::unsqueeze(op::arange(input_ids.graph(), input_ids.dim(1)), 0);
  sight.rope = nn::RotaryEmbedding("rotary_emb", rope)(positions);
  return sight;
}

Value RotaryAttention::operator()(Value x, const RotarySight& sight) const {
  Graph& graph = x.graph();
  const ModulePath at(graph, path);
  op::AttentionOperands operands = {.mask = sight.mask, .rope = sight.rope};
  operands.query = query(x);
  operands.key = key(x);
  operands.value = value(x);
  if (sinks) operands.sinks = graph.weight(sinks);
  return output(op::attention(operands, sizes.heads, sizes.kv_heads).output);
}

Value RotaryPreNormLayer::operator()(Value x, const RotarySight& sight) const {
  const ModulePath at(x, path);
  x = op::add(x, attention(before_attention(x), sight));
  return op::add(x, mlp(before_mlp(x)));
}

}  // namespace onnxport::models
