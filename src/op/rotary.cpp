// Rotary position embeddings.
#include <algorithm>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

Value rotary_embedding(Value x, Value cos, Value sin, std::int64_t heads, bool interleaved) {
  return detail::make(x.graph(), Op::rotary_embedding, {x, cos, sin},
                      {{"heads", heads}, {"interleaved", interleaved}})
      .out();
}

namespace detail {

Types infer_rotary_embedding(const Node& node) {
  const TensorType& x = operand(node, 0);
  const TensorType& cos = operand(node, 1);
  const TensorType& sin = operand(node, 2);
  require_float(node, x);
  require_same_dtype(node, x, cos);
  const std::int64_t heads = node.attrs.integer("heads");
  const bool apart = x.shape.size() == 4;
  std::optional<Dim> width;
  if (apart && x.shape[1] == Dim(heads)) width = x.shape[3];
  if (x.shape.size() == 3 && heads > 0) width = x.shape[2].exact_div(heads);
  if (!width || !width->is_constant()) reject(node, "{} is not {} heads", to_string(x), heads);
  const Dim& length = x.shape[apart ? 2 : 1];
  const bool fits = cos == sin && cos.shape.size() == 3 &&
                    (cos.shape[0] == x.shape[0] || cos.shape[0] == Dim(1)) && cos.shape[1] == length &&
                    cos.shape[2].is_constant() && 2 * *cos.shape[2].constant() <= *width->constant();
  if (!fits) {
    reject(node, "cosines {} and sines {} do not fit {} of {} heads", to_string(cos.shape),
           to_string(sin.shape), to_string(x.shape), heads);
  }
  return {x};
}

namespace {

// Pairs are halves of the rotated part. Elements after it get a cosine of 1 and a sine of 0, so a whole head
// is one product without slices.
Value turn_halves(Value x, std::vector<Value> cosines, std::vector<Value> sines, std::int64_t half,
                  std::int64_t head_axis) {
  const std::int64_t rest = *x.dim(3).constant() - 2 * half;
  std::vector<std::int64_t> sizes = {half, half};
  if (rest > 0) {
    Graph& graph = x.graph();
    const Shape shape = {cosines[0].dim(0), cosines[0].dim(1), rest};
    const std::vector<double> ones(static_cast<std::size_t>(rest), 1.0);
    const std::vector<double> zeros(static_cast<std::size_t>(rest), 0.0);
    cosines.push_back(expand(graph.weight_as_is(Weight::from_doubles(x.dtype(), {1, 1, rest}, ones)), shape));
    sines.push_back(expand(graph.weight_as_is(Weight::from_doubles(x.dtype(), {1, 1, rest}, zeros)), shape));
    sizes.push_back(rest);
  }
  Value all_cosines, all_sines;
  {
    const ModulePath at(x, "rotary_emb");  // the same for all with equal angles
    all_cosines = unsqueeze(concat(std::move(cosines), 2), head_axis);
    all_sines = unsqueeze(concat(std::move(sines), 2), head_axis);
  }
  std::vector<Value> parts = split(x, 3, sizes);
  std::swap(parts[0], parts[1]);
  const Value swapped = concat(parts, 3);
  const Value straight = mul(x, all_cosines);
  const Value crossed = mul(swapped, all_sines);
  return add(straight, crossed);
}

// Pairs are neighbours.
Value turn_neighbours(Value x, Value cosine, Value sine, std::int64_t half, std::int64_t head_axis) {
  const std::int64_t rest = *x.dim(3).constant() - 2 * half;
  std::vector<Value> parts = {x};
  if (rest > 0) parts = split(x, 3, {2 * half, rest});
  const auto by_pair = [&](Value angles) { return unsqueeze(unsqueeze(angles, head_axis), 4); };
  const Value c = by_pair(cosine);
  const Value s = by_pair(sine);
  const std::vector<Value> pair =
      split(reshape(parts[0], {x.dim(0), x.dim(1), x.dim(2), half, 2}), 4, {1, 1});
  const Value first_straight = mul(pair[0], c);
  const Value first = sub(first_straight, mul(pair[1], s));
  const Value second_straight = mul(pair[1], c);
  const Value second = add(second_straight, mul(pair[0], s));
  parts[0] = reshape(concat({first, second}, 4), {x.dim(0), x.dim(1), x.dim(2), 2 * half});
  return rest > 0 ? concat(parts, 3) : parts[0];
}

}  // namespace

std::vector<Value> decompose_rotary_embedding(const Node& node) {
  Value x = node.inputs[0];
  const Value cosine = node.inputs[1], sine = node.inputs[2];
  const std::int64_t half = *cosine.dim(2).constant();
  std::int64_t head_axis = 1;
  if (x.rank() == 3) {
    const std::int64_t heads = node.attrs.integer("heads");
    x = reshape(x, {x.dim(0), x.dim(1), heads, *x.dim(2).exact_div(heads)});
    head_axis = 2;
  }
  Value turned;
  if (node.attrs.flag("interleaved")) {
    turned = turn_neighbours(x, cosine, sine, half, head_axis);
  } else {
    Value negative;
    {
      const ModulePath at(x, "rotary_emb");
      negative = neg(sine);
    }
    turned = turn_halves(x, {cosine, cosine}, {negative, sine}, half, head_axis);
  }
  return {node.inputs[0].rank() == 3 ? reshape(turned, node.outputs[0].shape) : turned};
}

}  // namespace detail
}  // namespace onnxport::op
