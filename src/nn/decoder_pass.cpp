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

op::AttentionMask DecoderPass::mask(const Visibility& visible, op::NoKeys no_keys) const {
  return {.padding = attention_mask(),
          .causal = !visible.both_ways,
          .window = visible.window,
          .no_keys = no_keys};
}

Value DecoderPass::causal_bias(double hidden) const {
  Graph& g = graph();
  const ModulePath at(g, "attention_mask");
  const Value key = op::arange(g, total_length());
  const Value query = op::unsqueeze(op::arange(g, length(), past_length_), 1);
  const Value zero = op::scalar(g, 0.0, g.float_dtype());
  return op::where(op::le(key, query), zero, op::scalar(g, hidden, g.float_dtype()));
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
