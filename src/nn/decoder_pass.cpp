#include "onnxport/nn/decoder_pass.h"

#include <fmt/format.h>

#include "onnxport/op.h"

namespace onnxport::nn {

DecoderPass::DecoderPass(const Inputs& inputs, DecoderInputNames names)
    : inputs_(inputs), names_(std::move(names)) {
  if (const Value key = past(0).key) past_length_ = key.dim(2);
}

Value DecoderPass::position_ids() const {
  if (has_position_ids()) return inputs_["position_ids"];
  const Value row = op::unsqueeze(op::arange(graph(), length(), past_length_), 0);
  return op::expand(row, input_ids().shape());
}

Value DecoderPass::order(const Visibility& visible) const {
  Graph& g = graph();
  const ModulePath at(g, "attention_mask");
  const Value key = op::arange(g, total_length());
  const Value query = op::unsqueeze(op::arange(g, length(), past_length_), 1);
  if (!visible.window) return op::le(key, query);
  const auto window = static_cast<double>(*visible.window);
  const Value near = op::gt(key, op::sub(query, window));
  const Value before = visible.both_ways ? op::lt(key, op::add(query, window)) : op::le(key, query);
  return op::logical_and(before, near);
}

Value DecoderPass::mask(const Visibility& visible) const {
  const ModulePath at(graph(), "attention_mask");
  if (!attention_mask()) {
    const Value seen = order(visible);
    return op::reshape(seen, {1, 1, seen.dim(0), seen.dim(1)});
  }
  const Value given = op::cast(attention_mask(), DType::boolean);
  const Value padding = op::reshape(given, {given.dim(0), 1, 1, given.dim(1)});
  const bool all = visible.both_ways && !visible.window;
  if (all) return op::expand(padding, {padding.dim(0), 1, length(), total_length()});
  return op::logical_and(order(visible), padding);
}

Value DecoderPass::additive_mask(const Visibility& visible) const {
  Graph& g = graph();
  const ModulePath at(g, "attention_mask");
  const DType dtype = g.float_dtype();
  const Value seen = mask(visible);
  const Value zero = op::scalar(g, 0.0, dtype);
  return op::where(seen, zero, op::scalar(g, lowest(dtype), dtype));
}

KeyValue DecoderPass::past(std::int64_t layer) const {
  if (names_.past.empty()) return {};
  const std::string name = fmt::format(fmt::runtime(names_.past), layer);
  return {inputs_.get(name + "key"), inputs_.get(name + "value")};
}

void DecoderPass::crop_last(std::int64_t count) {
  KeyValue& last = presents_.back();
  const Dim all = last.key.dim(2);
  last.key = op::slice(last.key, 2, all - all.min(count), all);
  last.value = op::slice(last.value, 2, all - all.min(count), all);
}

}  // namespace onnxport::nn
