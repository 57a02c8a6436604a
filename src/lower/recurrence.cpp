// Recurrences: a Scan over the tokens, or its body alone where there is always one token.
#include <algorithm>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "lower/emitter.h"
#include "onnxport/dtype.h"

namespace onnxport::lower {
namespace {

// An operand of a recurrence, or a state.
struct Part {
  std::string name;
  TensorType type;
};

// Axis 1 of the scanned operands and of the outputs are tokens.
struct Loop {
  std::vector<Part> states, scanned;
  std::vector<Shape> outputs;  // of one step
  /// Takes the states and one token of each scanned operand; returns the new states, then the outputs.
  std::function<Names(const Names& states, const Names& token)> step;
};

Names joined(Names a, const Names& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::string mul(Emitter& e, const std::string& a, const std::string& b) { return e.emit("Mul", {a, b}); }
std::string add(Emitter& e, const std::string& a, const std::string& b) { return e.emit("Add", {a, b}); }

// Returns the last states, then the outputs of all tokens.
Names run(Emitter& e, const Loop& loop) {
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
    taken.back().shape.erase(taken.back().shape.begin() + 1);
  }
  for (const Shape& shape : loop.outputs) given.push_back({taken[0].dtype, shape});
  const std::size_t count = states.size();
  if (loop.scanned[0].type.shape[1] == Dim(1)) {
    Names token;
    for (const std::string& name : scanned) token.push_back(e.emit_with_axes("Squeeze", name, {1}, 13));
    Names made = loop.step(states, token);
    for (std::size_t i = count; i < made.size(); ++i)
      made[i] = e.emit_with_axes("Unsqueeze", made[i], {1}, 13);
    return made;
  }
  const auto body = e.body("token", taken, given, [&](const Names& in) -> Names {
    const auto split = in.begin() + static_cast<std::ptrdiff_t>(count);
    return loop.step({in.begin(), split}, {split, in.end()});
  });
  const std::vector<std::int64_t> inputs(scanned.size(), 1), outputs(loop.outputs.size(), 1);
  return e.emit_all("Scan", given.size(), joined(states, scanned),
                    {{"body", body},
                     {"num_scan_inputs", static_cast<std::int64_t>(scanned.size())},
                     {"scan_input_axes", inputs},
                     {"scan_output_axes", outputs}});
}

// A value in another shape.
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

// The state to start with: the operand, or zeros.
Part start(Emitter& e, const Value& past, TensorType type, Shape shape) {
  if (past) return shaped(e, past, std::move(shape));
  type.shape = std::move(shape);
  const std::string zeros = e.zeros(type);
  return {zeros, std::move(type)};
}

std::string reshaped(Emitter& e, const std::string& name, const Shape& from, const TensorType& to) {
  return e.emit("Reshape", {name, e.reshape_target(from, to.shape)});
}

// With axis 1 in front of it.
Shape of_all(Shape step, const Dim& length) {
  step.insert(step.begin() + 1, length);
  return step;
}

}  // namespace

Lowered lower_causal_conv(Emitter& e, const Node& node) {
  const Value &x = node.inputs[0], &weight = node.inputs[1], &past = node.inputs[3];
  const std::int64_t before = *weight.dim(2).constant() - 1, kept = node.attrs.integer("kept");
  const DType dtype = x.dtype();
  const auto last = [&](const std::string& from, std::int64_t count) {
    constexpr std::int64_t end = std::numeric_limits<std::int64_t>::max();
    return e.emit("Slice", {from, e.ints({-count}), e.ints({end}), e.ints({2})});
  };
  std::string all = e.name_of(x);
  if (before > 0) {
    std::string earlier;
    if (past) {
      earlier = e.name_of(past);
      if (*past.dim(2).constant() > before) earlier = last(earlier, before);
    } else {
      earlier = e.zeros({dtype, {x.dim(0), x.dim(1), before}});
    }
    all = e.emit("Concat", {earlier, all}, {{"axis", std::int64_t{2}}});
  }
  const std::string output = e.emit("Conv", {all, e.name_of(weight), e.name_of(node.inputs[2])},
                                    {{"group", *weight.dim(0).constant()}});
  return Names{output, e.is_used(node, 1) ? last(all, kept) : std::string()};
}

// Everything has the axes [batch, groups, heads of a group, channels, elements of state].
Lowered lower_selective_scan(Emitter& e, const Node& node) {
  const std::vector<Value>& in = node.inputs;
  const TensorType &type = node.outputs[0], &state_type = node.outputs[1];
  const Dim &batch = type.shape[0], &length = type.shape[1];
  const std::int64_t groups = node.attrs.integer("groups"), heads = *state_type.shape[1].constant();
  const std::int64_t each = heads / groups, channels = *state_type.shape[2].constant();
  const std::int64_t size = *state_type.shape[3].constant();
  const Shape output = {batch, groups, each, channels, 1};
  const bool per_element = in[2].shape().size() == 2;

  const Part step = shaped(e, in[1], {batch, length, groups, each, 1, 1});
  const Part x = shaped(e, in[0], of_all(output, length));
  const Part decay = shaped(e, in[2], {groups, each, 1, per_element ? size : 1});
  Loop loop;
  loop.outputs = {output};
  loop.states = {start(e, in[5], type, {batch, groups, each, channels, size})};
  loop.scanned = {{mul(e, step.name, x.name), x.type},
                  shaped(e, in[3], {batch, length, groups, 1, 1, size}),
                  shaped(e, in[4], {batch, length, groups, 1, size, 1})};
  if (per_element) {  // too large for all tokens at once
    loop.scanned.push_back(step);
  } else {
    loop.scanned.push_back({e.emit("Exp", {mul(e, step.name, decay.name)}), step.type});
  }
  loop.step = [&](const Names& states, const Names& token) -> Names {
    const std::string remains = per_element ? e.emit("Exp", {mul(e, token[3], decay.name)}) : token[3];
    const std::string old = mul(e, remains, states[0]);
    const std::string state = add(e, old, mul(e, token[0], token[1]));
    return {state, e.emit("MatMul", {state, token[2]})};
  };
  const Names made = run(e, loop);
  const std::string out = reshaped(e, made[1], of_all(output, length), type);
  return Names{out, reshaped(e, made[0], loop.states[0].type.shape, state_type)};
}

// Everything has the axes [batch, key heads, heads of a key head, keys, values].
Lowered lower_linear_attention(Emitter& e, const Node& node) {
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
      added = mul(e, token[4], e.emit("Sub", {added, known}));
    }
    const std::string state = add(e, left, mul(e, token[1], added));
    return {state, e.emit("MatMul", {token[0], state})};
  };
  const Names made = run(e, loop);
  const std::string out = reshaped(e, made[1], of_all(output, length), type);
  return Names{out, reshaped(e, made[0], loop.states[0].type.shape, state_type)};
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
    return e.emit("Exp", {e.emit("Sub", {value, top})});
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
