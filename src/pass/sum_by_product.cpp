#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

// Whether this can be the number of pixels of an image: a product of extents, or a large number.
bool is_many(const Dim& extent) {
  constexpr std::int64_t kMany = 32;
  if (const auto known = extent.constant()) return *known >= kMany;
  const std::vector<Dim::Term> terms = extent.terms();
  return std::any_of(terms.begin(), terms.end(), [](const Dim::Term& t) { return t.factors.size() > 1; });
}

bool fits(const Node& node) {
  if (node.op != Op::sum || !is_float(node.outputs[0].dtype)) return false;
  const Value& x = node.inputs[0];
  return x.rank() >= 2 && node.attrs.integer("axis") == x.rank() - 2 && is_many(x.dim(-2));
}

}  // namespace

Graph sum_by_product(Graph graph) {
  if (std::none_of(graph.nodes().begin(), graph.nodes().end(), fits)) return graph;
  return rebuild(std::move(graph), [](Graph& result, const Node& node) -> std::vector<Value> {
    if (!fits(node)) return {};
    const Value x = node.inputs[0];
    Shape row(x.shape().size(), 1);
    const Value one = op::reshape(op::scalar(result, 1.0, x.dtype()), row);
    row.back() = x.dim(-2);
    const Value total = op::matmul(op::expand(one, row), x);
    return {op::reshape(total, node.outputs[0].shape)};
  });
}

}  // namespace onnxport::pass
