// Selective state spaces: products over chunks of tokens where a head has one decay, else token by token.
#include <numeric>
#include <utility>
#include <vector>

#include "lower/recurrence.h"
#include "onnxport/dtype.h"

namespace onnxport::lower {
namespace {

using Ints = std::vector<std::int64_t>;

struct Sizes {
  Dim batch, length;
  std::int64_t groups, each, channels, size;  // heads of a group, elements of state

  explicit Sizes(const Node& node)
      : batch(node.outputs[0].shape[0]),
        length(node.outputs[0].shape[1]),
        groups(node.attrs.integer("groups")),
        each(*node.outputs[1].shape[1].constant() / groups),
        channels(*node.outputs[1].shape[2].constant()),
        size(*node.outputs[1].shape[3].constant()) {}
  std::int64_t heads() const { return groups * each; }
  Shape state() const { return {batch, groups, each, channels, size}; }
};

// ---- token by token ----

// Everything has the axes [batch, groups, heads of a group, channels, elements of state].
Lowered by_token(Emitter& e, const Node& node, const Sizes& z) {
  const std::vector<Value>& in = node.inputs;
  const TensorType& type = node.outputs[0];
  const Shape output = {z.batch, z.groups, z.each, z.channels, 1};
  const bool per_element = in[2].shape().size() == 2;
  const Part step = shaped(e, in[1], {z.batch, z.length, z.groups, z.each, 1, 1});
  const Part x = shaped(e, in[0], of_all(output, z.length));
  const Part decay = shaped(e, in[2], {z.groups, z.each, 1, per_element ? z.size : 1});
  Loop loop;
  loop.outputs = {output};
  loop.states = {start(e, in[5], type, z.state())};
  loop.scanned = {{mul(e, step.name, x.name), x.type},
                  shaped(e, in[3], {z.batch, z.length, z.groups, 1, 1, z.size}),
                  shaped(e, in[4], {z.batch, z.length, z.groups, 1, z.size, 1}),
                  step};
  loop.step = [&](const Names& states, const Names& token) -> Names {
    // For all tokens at once, the decays of all elements would be too large.
    const std::string remains = e.emit("Exp", {mul(e, token[3], decay.name)});
    const std::string old = mul(e, remains, states[0]);
    const std::string state = add(e, old, mul(e, token[0], token[1]));
    return {state, e.emit("MatMul", {state, token[2]})};
  };
  const Names made = run(e, loop);
  const std::string out = shaped(e, made[1], {type.dtype, of_all(output, z.length)}, type.shape).name;
  return Names{out, shaped(e, made[0], loop.states[0].type, node.outputs[1].shape).name};
}

// ---- in chunks (Dao and Gu 2024) ----

constexpr std::int64_t kChunk = 64;

// Sequences in chunks of the same length, at most kChunk; the last one is filled with zeros.
struct Chunks {
  std::string length;  // of a chunk, int64[1]
  std::string pads;    // of Pad, for three axes
  std::string mask;    // [length, length]: the lowest number where the first token comes after the second

  Chunks(Emitter& e, const Dim& tokens) {
    const std::string key = "chunks of " + tokens.str();
    const auto shared = [&](const char* what, const std::function<std::string()>& make) {
      return e.shared("shape", key + what, make);
    };
    const std::string all = e.dim(tokens);
    length = shared(" length", [&] {
      const std::string most = e.ints({kChunk});
      if (e.opset() >= 12) return e.emit("Min", {all, most});
      return e.emit("Where", {e.emit("Less", {all, most}), all, most});
    });
    pads = shared(" pads", [&] {
      const std::string count = e.emit("Div", {add(e, all, sub(e, length, e.ints({1}))), length});
      const std::string missing = sub(e, mul(e, count, length), all);
      const std::string zeros = e.ints({0, 0, 0, 0});
      return e.emit("Concat", {zeros, missing, e.ints({0})}, {{"axis", std::int64_t{0}}});
    });
    mask = shared(" mask", [&] {
      const std::string end = e.emit_with_axes("Squeeze", length, {0}, 13);
      const std::string second = e.emit("Range", {e.scalar(0, DType::i64), end, e.scalar(1, DType::i64)});
      const std::string first = e.emit_with_axes("Unsqueeze", second, {1}, 13);
      const std::string after = e.emit("Greater", {first, second});
      const std::string hidden = e.scalar(lowest(DType::f32), DType::f32);
      return e.emit("Where", {after, hidden, e.scalar(0, DType::f32)});
    });
  }

  // x [batch, tokens, product of `last`] -> [batch, chunks, length, last…], with its axes in another order
  std::string cut(Emitter& e, const std::string& x, const Ints& last, Ints order) const {
    const std::string padded = e.emit("Pad", {x, pads});
    const std::string front = e.ints({0, -1});
    const std::string target = e.emit("Concat", {front, length, e.ints(last)}, {{"axis", std::int64_t{0}}});
    return e.emit("Transpose", {e.emit("Reshape", {padded, target})}, {{"perm", std::move(order)}});
  }
};

// Within a chunk, each token reads from the earlier ones by one product, as in attention; the state before
// the chunk and that after it take one more each. Matrices are transposed, so that nothing as large as a
// state has to be.
Lowered by_chunk(Emitter& e, const Node& node, const Sizes& z) {
  const std::vector<Value>& in = node.inputs;
  const TensorType& type = node.outputs[0];
  const DType dtype = type.dtype;
  const Dim length = Dim::symbol("chunk_length"), count = Dim::symbol("chunks");
  const Chunks chunks(e, z.length);
  const Part step = shaped(e, in[1], {z.batch, z.length, z.heads(), 1});
  const Part x = shaped(e, in[0], {z.batch, z.length, z.heads(), z.channels});
  const std::string scaled = mul(e, step.name, x.name);
  const std::string added = shaped(e, scaled, x.type, type.shape).name;
  const std::string rates = e.name_of(in[2]);
  const std::string decays = mul(e, e.name_of(in[1]), rates);
  const Ints tokens_last = {1, 0, 3, 4, 5, 2}, tokens_before = {1, 0, 3, 4, 2, 5};
  const Shape output = {z.batch, z.groups, z.each, z.channels, length};

  Loop loop;
  loop.axis = 0;
  loop.outputs = {output};
  // The mask goes from step to step: OpenVINO takes only initializers from outside of a Scan.
  loop.states = {start(e, in[5], type, z.state()), {chunks.mask, {DType::f32, {length, length}}}};
  loop.scanned = {
      {chunks.cut(e, added, {z.groups, z.each, z.channels}, tokens_last),
       {dtype, {count, z.batch, z.groups, z.each, z.channels, length}}},
      {chunks.cut(e, decays, {z.groups, z.each, 1}, tokens_last),
       {dtype, {count, z.batch, z.groups, z.each, 1, length}}},
      {chunks.cut(e, e.name_of(in[3]), {z.groups, 1, z.size}, tokens_before),
       {dtype, {count, z.batch, z.groups, 1, length, z.size}}},
      {chunks.cut(e, e.name_of(in[4]), {z.groups, 1, z.size}, tokens_last),
       {dtype, {count, z.batch, z.groups, 1, z.size, length}}},
  };
  loop.step = [&](const Names& states, const Names& chunk) -> Names {
    const std::string &state = states[0], &inputs = chunk[0], &written = chunk[2], &read = chunk[3];
    const auto exp = [&](const std::string& value) { return e.emit("Exp", {value}); };
    const auto product = [&](const std::string& a, const std::string& b) { return e.emit("MatMul", {a, b}); };
    // Logarithms of what remains from the start of the chunk on; from each token to each later one.
    const std::string since = e.emit("CumSum", {chunk[1], e.scalar(4, DType::i64)});
    const std::string column = e.emit("Transpose", {since}, {{"perm", Ints{0, 1, 2, 4, 3}}});
    const std::string between = exp(add(e, sub(e, since, column), states[1]));
    const std::string weights = mul(e, product(written, read), between);
    const std::string own = product(inputs, weights);
    const std::string grown = exp(since);
    const std::string old = mul(e, product(state, read), grown);
    const std::string output_of_chunk = add(e, own, old);
    const std::string last = e.ints({-1}), end = e.ints({std::numeric_limits<std::int64_t>::max()});
    const std::string total = e.emit("Slice", {since, last, end, e.ints({4})});
    const std::string left = mul(e, inputs, exp(sub(e, total, since)));
    const std::string kept = mul(e, state, exp(total));
    return {add(e, kept, product(left, written)), states[1], output_of_chunk};
  };
  const Names made = run(e, loop);
  const std::string ordered = e.emit("Transpose", {made[2]}, {{"perm", Ints{1, 0, 5, 2, 3, 4}}});
  const std::string joined = e.emit("Reshape", {ordered, e.ints({0, -1, z.heads() * z.channels})});
  const std::string begin = e.ints({0}), end = e.dim(z.length);
  const std::string out = e.emit("Slice", {joined, begin, end, e.ints({1})});
  return Names{out, shaped(e, made[0], loop.states[0].type, node.outputs[1].shape).name};
}

}  // namespace

Lowered lower_selective_scan(Emitter& e, const Node& node) {
  const Sizes sizes(node);
  const bool chunks = node.inputs[2].shape().size() == 1 && sizes.length != Dim(1);
  return chunks ? by_chunk(e, node, sizes) : by_token(e, node, sizes);
}

}  // namespace onnxport::lower
