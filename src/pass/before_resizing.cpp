#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/pointwise.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

// Whether it makes images larger. True if that is unknown.
bool enlarges(const Node& node) {
  const auto places = [](const Shape& shape) { return (shape[2] * shape[3]).constant(); };
  if (node.op != Op::interpolate || node.outputs[0].shape.size() != 4) return false;
  const Shape &from = node.inputs[0].shape(), &to = node.outputs[0].shape;
  if (from[0] != to[0] || from[1] != to[1]) return false;
  const auto before = places(from), after = places(to);
  return !before || !after || *before < *after;
}

// How to split the operand of a 1 x 1 convolution.
struct Parts {
  bool joined = false;        // the operand is a concat of images, by channels
  std::vector<bool> resized;  // for each image
};

Parts parts_of(const Node& conv, const std::vector<int>& uses) {
  if (!is_pointwise(conv)) return {};
  const Node& x = *conv.inputs[0].node();
  const auto is_resized = [&](const Node& part) { return enlarges(part) && uses[part.id] == 1; };
  if (is_resized(x)) return {false, {true}};
  if (x.op != Op::concat || x.attrs.integer("axis") != 1 || uses[x.id] != 1) return {};
  Parts parts{true, {}};
  for (const Value& part : x.inputs) {
    if (!part.dim(1).is_constant()) return {};
    parts.resized.push_back(is_resized(*part.node()));
  }
  // One of them may already have the size, which costs one more sum of images.
  const auto others = std::count(parts.resized.begin(), parts.resized.end(), false);
  return others <= 1 && parts.resized.size() > 1 ? parts : Parts();
}

// The same interpolation for another image of the same size.
Value resize_like(const Node& interpolate, Value image) {
  const ModulePath path(image, interpolate.path);
  const Shape& to = interpolate.outputs[0].shape;
  return op::interpolate(image, {to[2], to[3]}, interpolate.attrs.get<std::string>("mode"),
                         interpolate.attrs.flag("align_corners"));
}

}  // namespace

Graph before_resizing(Graph graph) {
  const std::vector<int> uses = uses_of(graph);
  std::vector<Parts> all(graph.nodes().size());
  bool any = false;
  for (const Node& node : graph.nodes()) {
    all[node.id] = parts_of(node, uses);
    any = any || !all[node.id].resized.empty();
  }
  if (!any) return graph;
  return remove_dead(rebuild(std::move(graph), [&](Graph&, const Node& node) -> std::vector<Value> {
    const Parts& parts = all[node.id];
    if (parts.resized.empty()) return {};
    const std::vector<Value> images =
        parts.joined ? node.inputs[0].node()->inputs : std::vector<Value>{node.inputs[0]};
    const Weight matrix = matrix_of(node);
    Value total;
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < images.size(); ++i) {
      const std::int64_t end = begin + *images[i].dim(1).constant();
      const Weight weight = matrix.slice(1, begin, end);
      const Value bias = i == 0 ? node.inputs[2] : Value();  // resampled, a constant stays
      const Node& resizing = *images[i].node();
      Value mixed = pointwise(parts.resized[i] ? resizing.inputs[0] : images[i], weight, bias);
      if (parts.resized[i]) mixed = resize_like(resizing, mixed);
      total = total ? op::add(total, mixed) : mixed;
      begin = end;
    }
    return {total};
  }));
}

}  // namespace onnxport::pass
