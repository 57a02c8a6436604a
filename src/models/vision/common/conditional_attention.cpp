#include "models/vision/common/conditional_attention.h"

#include "onnxport/nn/attention.h"

namespace onnxport::models {

Value ConditionalAttention::project(const std::string& name, Value x) const {
  return nn::Linear(s / name, width, width)(x);
}

Value ConditionalAttention::to_queries(Value x, Value places) const {
  const Value query_content = project(names.query_content, x);
  const Value query = op::add(query_content, project(names.query_place, places));
  const Value key_content = project(names.key_content, x);
  const Value key = op::add(key_content, project(names.key_place, places));
  const Value value = project(names.value, x);
  return project(names.output,
                 op::attention({.query = query, .key = key, .value = value}, heads, heads).output);
}

// Both halves of each head: content, and place.
Value ConditionalAttention::join(Value content, Value place) const {
  const Shape& shape = content.shape();
  const Shape by_head = {shape[0], shape[1], heads, width / heads};
  const Value left = op::reshape(content, by_head);
  const Value right = op::reshape(op::expand(place, shape), by_head);
  return op::reshape(op::concat({left, right}, 3), {shape[0], shape[1], 2 * width});
}

Value ConditionalAttention::to_memory(Value x, Value places, Value sines, const DetrMemory& memory,
                                      bool placed) const {
  Value query = project(names.query_content, x);
  Value key = project(names.key_content, memory.tokens);
  const Value value = project(names.value, memory.tokens);
  const Value place = project(names.key_place, memory.positions);
  if (placed) {
    query = op::add(query, project(names.query_place, places));
    key = op::add(key, place);
  }
  query = op::expand(query, {key.dim(0), query.dim(1), width});
  query = join(query, project(names.sine, sines));
  key = join(key, place);
  const op::AttentionMask mask = nn::padding_mask(memory.seen);
  return project(
      names.output,
      op::attention({.query = query, .key = key, .value = value, .mask = mask}, heads, heads).output);
}

}  // namespace onnxport::models
