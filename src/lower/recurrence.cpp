// Recurrences: a Scan over the tokens, or its body alone where there is always one token.
#include "lower/recurrence.h"

#include <limits>
#include <utility>
#include <vector>

#include "lower/conv.h"
#include "onnxport/dtype.h"
#include "onnxport/ops.h"

namespace onnxport::lower {
namespace {

Names joined(Names a, const Names& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

Names run(Emitter& e, const Loop& loop) {
  const std::int64_t axis = loop.axis;
  Names states, scanned;
  std::vector<TensorType> taken, given;
  for (const Part& state : loop.states) {
    states.push_back(state.name);
    taken.push_back(state.type);
    given.push_back(state.type);
  }
  for (const Part& part : loop.scanned) {
    scanned.push_back(part.name);
    taken.push_back(part.type);
    taken.back().shape.erase(taken.back().shape.begin() + axis);
  }
  for (const Shape& shape : loop.outputs) given.push_back({taken[0].dtype, shape});
  const std::size_t count = states.size();
  if (loop.scanned[0].type.shape[static_cast<std::size_t>(axis)] == Dim(1)) {
    Names step;
    for (const std::string& name : scanned) step.push_back(e.emit_with_axes("Squeeze", name, {axis}, 13));
    Names made = loop.step(states, step);
    for (std::size_t i = count; i < made.size(); ++i)
      made[i] = e.emit_with_axes("Unsqueeze", made[i], {axis}, 13);
    return made;
  }
  const auto body = e.body("token", taken, given, [&](const Names& in) -> Names {
    const auto split = in.begin() + static_cast<std::ptrdiff_t>(count);
    return loop.step({in.begin(), split}, {split, in.end()});
  });
  const std::vector<std::int64_t> inputs(scanned.size(), axis), outputs(loop.outputs.size(), axis);
  return e.emit_all("Scan", given.size(), joined(states, scanned),
                    {{"body", body},
                     {"num_scan_inputs", static_cast<std::int64_t>(scanned.size())},
                     {"scan_input_axes", inputs},
                     {"scan_output_axes", outputs}});
}

Part shaped(Emitter& e, const std::string& name, const TensorType& from, Shape shape) {
  const std::string made = e.emit("Reshape", {name, e.reshape_target(from.shape, shape)});
  return {made, {from.dtype, std::move(shape)}};
}

Part shaped(Emitter& e, const Value& value, Shape shape) {
  if (value.node()->op == Op::weight) {
    const std::string made = e.weight(value.node()->weight.reshape(*static_shape(shape)));
    return {made, {value.dtype(), std::move(shape)}};
  }
  return shaped(e, e.name_of(value), value.type(), std::move(shape));
}

Part start(Emitter& e, const Value& past, const TensorType& type, Shape shape) {
  if (past) return shaped(e, past, std::move(shape));
  TensorType zeros{type.dtype, std::move(shape)};
  const std::string made = e.zeros(zeros);
  return {made, std::move(zeros)};
}

Lowered lower_causal_conv(Emitter& e, const Node& node) {
  const Value &x = node.inputs[0], &weight = node.inputs[1], &past = node.inputs[3];
  const std::string w = e.name_of(weight), bias = e.name_of(node.inputs[2]);
  const std::int64_t before = *weight.dim(2).constant() - 1, kept = node.attrs.integer("kept");
  const auto last = [&](const std::string& from, std::int64_t count) {
    constexpr std::int64_t end = std::numeric_limits<std::int64_t>::max();
    return e.emit("Slice", {from, e.ints({-count}), e.ints({end}), e.ints({2})});
  };
  std::string earlier;
  if (past) {
    earlier = e.name_of(past);
    if (*past.dim(2).constant() > before && before > 0) earlier = last(earlier, before);
  } else if (before > 0) {
    earlier = e.zeros({x.dtype(), {x.dim(0), x.dim(1), before}});
  }
  const auto all = [&] {
    if (before == 0) return e.name_of(x);
    return e.emit("Concat", {earlier, e.name_of(x)}, {{"axis", std::int64_t{2}}});
  };
  const bool wanted = e.is_used(node, 1);
  if (e.target().runtime == Runtime::ort && x.dtype() == DType::f32 && before > 0) {
    const Names made = e.emit_all(contrib("CausalConvWithState"), 2, {e.name_of(x), w, bias, earlier});
    if (!wanted || kept == before) return made;
    return Names{made[0], last(all(), kept)};
  }
  const std::string inputs = all();
  const std::string output =
      emit_widened(e, "Conv", {inputs, w, bias}, x.dtype(), {{"group", *weight.dim(0).constant()}});
  return Names{output, wanted ? last(inputs, kept) : std::string()};
}

namespace {

// The operator of ONNX Runtime. It has as many keys as values.
Lowered linear_attention_of_ort(Emitter& e, const Node& node) {
  const std::vector<Value>& in = node.inputs;
  const std::int64_t heads = node.attrs.integer("heads"), groups = node.attrs.integer("key_heads");
  const auto repeated = [&](const Value& x) {
    if (heads == groups) return e.name_of(x);
    const std::int64_t size = *x.dim(2).constant() / groups;
    const Part apart = shaped(e, x, {x.dim(0), x.dim(1), groups, 1, size});
    const std::string often = e.emit("Expand", {apart.name, e.ints({1, 1, 1, heads / groups, 1})});
    return e.emit("Reshape", {often, e.ints({0, 0, heads * size})});
  };
  const std::string query = repeated(in[0]), key = repeated(in[1]), rule = in[4] ? "gated_delta" : "gated";
  return e.emit_all(
      contrib("LinearAttention"), 2,
      {query, key, e.name_of(in[2]), e.name_of(in[5]), e.name_of(in[3]), e.name_of(in[4])},
      {{"q_num_heads", heads}, {"kv_num_heads", heads}, {"update_rule", rule}, {"scale", 1.0F}});
}

}  // namespace

// Everything has the axes [batch, key heads, heads of a key head, keys, values].
Lowered lower_linear_attention(Emitter& e, const Node& node) {
  if (e.target().runtime == Runtime::ort) return linear_attention_of_ort(e, node);
  const std::vector<Value>& in = node.inputs;
  const TensorType &type = node.outputs[0], &state_type = node.outputs[1];
  const Dim &batch = type.shape[0], &length = type.shape[1];
  const std::int64_t heads = node.attrs.integer("heads"), groups = node.attrs.integer("key_heads");
  const std::int64_t each = heads / groups, keys = *state_type.shape[2].constant();
  const std::int64_t values = *state_type.shape[3].constant();
  const Shape output = {batch, groups, each, 1, values};
  const std::int64_t decays = *in[3].dim(2).constant() / heads;

  Loop loop;
  loop.outputs = {output};
  loop.states = {start(e, in[5], type, {batch, groups, each, keys, values})};
  const Part decay = shaped(e, in[3], {batch, length, groups, each, decays, 1});
  loop.scanned = {shaped(e, in[0], {batch, length, groups, 1, 1, keys}),
                  shaped(e, in[1], {batch, length, groups, 1, keys, 1}),
                  shaped(e, in[2], of_all(output, length)),
                  {e.emit("Exp", {decay.name}), decay.type}};
  if (in[4]) {
    loop.scanned.push_back(shaped(e, in[4], {batch, length, groups, each, 1, 1}));
    loop.scanned.push_back(shaped(e, in[1], {batch, length, groups, 1, 1, keys}));
  }
  loop.step = [&](const Names& states, const Names& token) -> Names {
    const std::string left = mul(e, token[3], states[0]);
    std::string added = token[2];
    if (in[4]) {
      const std::string known = e.emit("MatMul", {token[5], left});
      added = mul(e, token[4], sub(e, added, known));
    }
    const std::string state = add(e, left, mul(e, token[1], added));
    return {state, e.emit("MatMul", {token[0], state})};
  };
  const Names made = run(e, loop);
  const std::string out = shaped(e, made[1], {type.dtype, of_all(output, length)}, type.shape).name;
  return Names{out, shaped(e, made[0], loop.states[0].type, state_type.shape).name};
}

Lowered lower_linear_recurrence(Emitter& e, const Node& node) {
  const Value &x = node.inputs[0], &remains = node.inputs[1], &past = node.inputs[2];
  const TensorType& state = node.outputs[1];
  Loop loop;
  loop.outputs = {state.shape};
  loop.states = {{past ? e.name_of(past) : e.zeros(state), state}};
  loop.scanned = {{e.name_of(x), x.type()}, {e.name_of(remains), remains.type()}};
  loop.step = [&](const Names& states, const Names& token) -> Names {
    const std::string next = add(e, mul(e, token[1], states[0]), token[0]);
    return {next, e.emit("Identity", {next})};
  };
  const Names made = run(e, loop);
  return Names{made[1], made[0]};
}

Lowered lower_wkv(Emitter& e, const Node& node) {
  const std::vector<Value>& in = node.inputs;
  const TensorType& state = node.outputs[1];
  const std::string decay = e.name_of(in[2]), bonus = e.name_of(in[3]);
  Loop loop;
  loop.outputs = {state.shape};
  for (const std::size_t i : {4, 5, 6}) {
    std::string name = in[i] ? e.name_of(in[i]) : e.zeros(state);
    if (!in[i] && i == 6) name = add(e, name, e.scalar(lowest(state.dtype), state.dtype));
    loop.states.push_back({name, state});
  }
  loop.scanned = {{e.name_of(in[0]), in[0].type()}, {e.name_of(in[1]), in[1].type()}};
  // exp(value - top)
  const auto share = [&](const std::string& value, const std::string& top) {
    return e.emit("Exp", {sub(e, value, top)});
  };
  loop.step = [&](const Names& states, const Names& token) -> Names {
    const std::string &numerator = states[0], &denominator = states[1], &maximum = states[2];
    const std::string own = add(e, token[0], bonus);
    const std::string top = e.emit("Max", {maximum, own});
    const std::string old = share(maximum, top), fresh = share(own, top);
    const std::string own_value = mul(e, fresh, token[1]);
    const std::string above = add(e, mul(e, old, numerator), own_value);
    const std::string below = add(e, mul(e, old, denominator), fresh);
    const std::string decayed = add(e, maximum, decay);
    const std::string next = e.emit("Max", {decayed, token[0]});
    const std::string left = share(decayed, next), added = share(token[0], next);
    const std::string kept = mul(e, left, numerator);
    return {add(e, kept, mul(e, added, token[1])), add(e, mul(e, left, denominator), added), next,
            e.emit("Div", {above, below})};
  };
  const Names made = run(e, loop);
  return Names{made[3], made[0], made[1], made[2]};
}

}  // namespace onnxport::lower
