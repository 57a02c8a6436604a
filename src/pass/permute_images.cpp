#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/permutation.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

const Axes kRows = {0, 2, 1};  // channels of a flat image, before or after its pixels

bool permutes_rows(const Node& node) { return node.op == Op::permute && axes_of(node) == kRows; }

// [batch, channels, height, width] against [batch, channels, pixels].
bool is_flat(const Shape& image, const Shape& rows) {
  return image.size() == 4 && rows.size() == 3 && image[0] == rows[0] && image[1] == rows[1];
}

bool flattens_conv(const Node& node) {
  if (!permutes_rows(node)) return false;
  const Value rows = node.inputs[0];
  if (rows.node()->op != Op::reshape) return false;
  const Value image = rows.node()->inputs[0];
  return image.node()->op == Op::conv && is_flat(image.shape(), rows.shape());
}

bool makes_image(const Node& node) {
  return node.op == Op::reshape && permutes_rows(*node.inputs[0].node()) &&
         is_flat(node.outputs[0].shape, node.inputs[0].shape());
}

}  // namespace

Graph permute_images(Graph graph) {
  std::vector<bool> into_conv(graph.nodes().size());
  bool any = false;
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::conv) into_conv[node.inputs[0].node()->id] = true;
    any = any || permutes_rows(node);
  }
  if (!any) return graph;
  return remove_dead(rebuild(std::move(graph), [&](Graph&, const Node& node) -> std::vector<Value> {
    if (flattens_conv(node)) {
      const Value image = node.inputs[0].node()->inputs[0];
      return {op::reshape(op::permute(image, {0, 2, 3, 1}), node.outputs[0].shape)};
    }
    if (into_conv[node.id] && makes_image(node)) {
      const Value tokens = node.inputs[0].node()->inputs[0];
      const Shape& image = node.outputs[0].shape;
      return {op::permute(op::reshape(tokens, {image[0], image[2], image[3], image[1]}), {0, 3, 1, 2})};
    }
    return {};
  }));
}

}  // namespace onnxport::pass
