#include "onnxport/nn/decoder_pass.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {

DecoderPass::DecoderPass(const Inputs& inputs, std::vector<StateSpec> states, DecoderInputNames names)
    : inputs_(inputs), states_(std::move(states)), names_(std::move(names)) {
  for (const StateSpec& state : states_) {
    if (state.input.empty()) continue;
    has_past_ = true;
    if (!state.growing_axis) continue;
    past_length_ = inputs_[state.input].dim(*state.growing_axis);
    break;
  }
}

DecoderPass DecoderPass::of_interface(const Inputs& inputs, const Interface& interface) {
  NamedValues values = inputs.values();
  if (interface.has_output("inputs_embeds") && !inputs.has("attention_mask")) {
    // The table of tokens alone: what the layers would compute is not part of the graph.
    const Value ids = inputs["input_ids"];
    const std::int64_t real[] = {1};
    const Value one = ids.graph().weight(Weight::from_ints({1, 1}, real));
    values.emplace_back("attention_mask", op::expand(one, {ids.dim(0), ids.dim(1)}));
  }
  DecoderPass pass(Inputs(std::move(values)), interface.states);
  pass.want_outputs_of(interface);
  return pass;
}

void DecoderPass::want_outputs_of(const Interface& interface) {
  for (const TensorSpec& output : interface.outputs) {
    for (const char* kind :
         {"hidden_states.", "attentions.", "cross_attentions.", "inputs_embeds", "per_layer_inputs"})
      if (output.name.starts_with(kind)) wanted_.push_back(output.name);
  }
}

Value DecoderPass::tokens() const {
  const Value embeds = inputs_.get("inputs_embeds");
  return embeds ? embeds : input_ids();
}

Value DecoderPass::embedded(const std::function<Value(Value)>& embed) {
  const Value given = inputs_.get("inputs_embeds");
  const Value embeds = given ? given : embed(input_ids());
  give("inputs_embeds", embeds);
  return embeds;
}

Value DecoderPass::zero_padding(Value x) const {
  const Value mask = attention_mask();
  if (!mask) return x;
  Value real;
  {
    const ModulePath at(graph(), "attention_mask");
    const Dim& total = mask.dim(1);
    real = op::cast(op::slice(mask, 1, total - length(), total), x.dtype());
    for (std::size_t rank = 2; rank < x.shape().size(); ++rank) real = op::unsqueeze(real, -1);
  }
  return op::mul(x, real);
}

Value DecoderPass::position_ids() const {
  if (has_position_ids()) return inputs_["position_ids"];
  const ModulePath at(graph(), "position_ids");
  const Value row = op::unsqueeze(op::arange(graph(), length(), past_length_), 0);
  return op::expand(row, {tokens().dim(0), length()});
}

Value DecoderPass::counted_positions() const {
  const ModulePath at(graph(), "position_ids");
  const Value mask = op::cast(attention_mask(), DType::i64);
  const Value counted = op::sub(op::mul(op::cumsum(mask, 1), mask), 1.0);
  return op::slice(counted, 1, past_length(), total_length());
}

op::AttentionMask DecoderPass::mask(const Visibility& visible, op::NoKeys no_keys) const {
  if (const Value keys = inputs_.get("visible_keys")) {
    // One element for all queries and keys: a token always sees itself, so they all see each other.
    const bool all = keys.dim(0) == Dim(1) && keys.dim(1) == Dim(1);
    return {.padding = attention_mask(), .visible = all ? Value() : keys, .no_keys = op::NoKeys::uniform};
  }
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
  const Value far = op::scalar(g, hidden, g.float_dtype());
  return op::where(op::le(key, query), zero, far);
}

Value DecoderPass::past(std::int64_t layer, std::string_view part) const {
  const auto it = std::find_if(states_.begin(), states_.end(), [&](const StateSpec& state) {
    return state.layer == layer && state.part == part;
  });
  return it == states_.end() || it->input.empty() ? Value() : inputs_[it->input];
}

void DecoderPass::keep(std::int64_t layer, std::string_view part, Value present) {
  presents_[{layer, std::string(part)}] = present;
}

void DecoderPass::keep(std::int64_t layer, const KeyValue& present) {
  keep(layer, "key", present.key);
  keep(layer, "value", present.value);
}

void DecoderPass::crop(std::int64_t layer, std::int64_t count) {
  for (const char* part : {"key", "value"}) {
    Value& kept = presents_.at({layer, part});
    const Dim all = kept.dim(2);
    kept = op::slice(kept, 2, all - all.min(count), all);
  }
}

bool DecoderPass::wants(std::string_view output) const {
  return std::find(wanted_.begin(), wanted_.end(), output) != wanted_.end();
}

void DecoderPass::give(const std::string& output, Value value) {
  if (wants(output)) given_[output] = value;
}

void DecoderPass::add_given(NamedValues& outputs) const {
  for (const std::string& name : wanted_) {
    const auto it = given_.find(name);
    if (it == given_.end())
      throw ExportError(ErrorCode::unsupported, fmt::format("no layer of this type gives '{}'", name));
    outputs.emplace_back(name, it->second);
  }
}

void DecoderPass::add_presents(NamedValues& outputs) const {
  for (const StateSpec& state : states_) {
    if (state.output.empty()) continue;
    const auto it = presents_.find({state.layer, state.part});
    if (it == presents_.end()) {
      throw ExportError(ErrorCode::internal,
                        fmt::format("no layer kept the state '{}' (layer {}, {}), which the interface lists",
                                    state.output, state.layer, state.part));
    }
    outputs.emplace_back(state.output, it->second);
  }
}

}  // namespace onnxport::nn
