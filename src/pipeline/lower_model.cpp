#include "pipeline/lower_model.h"

#include <functional>
#include <utility>
#include <vector>

#include "lower/forms.h"
#include "lower/lower.h"
#include "onnxport/ops.h"
#include "pass/passes.h"

namespace onnxport::pipeline {
namespace {

using Pass = std::function<Graph(Graph)>;

// Norms stay whole until they are fused with sums.
bool waits_for_fusion(const Node& node) { return node.op == Op::layer_norm || node.op == Op::rms_norm; }

// The passes of a target, in order.
std::vector<Pass> passes_for(const lower::Target& target) {
  const auto expansion = [target](const Node& node) { return lower::form_of(node, target).expand; };
  const Pass legalize = [=](Graph graph) { return pass::legalize(std::move(graph), expansion); };
  const Pass legalize_most = [=](Graph graph) {
    return pass::legalize(std::move(graph), [&](const Node& node) {
      return waits_for_fusion(node) ? nullptr : expansion(node);
    });
  };
  const Pass fuse_norms = [target](Graph graph) {
    return pass::fuse_residual_norm(std::move(graph),
                                    [&](const Node& node) { return lower::has_native_form(node, target); });
  };
  std::vector<Pass> passes = {
      pass::simplify,          pass::fold_scale,    pass::linear_on_images, pass::before_resizing,
      pass::compose_pointwise, pass::sink_permutes, pass::sum_by_product,   pass::narrow};
  const auto then = [&](std::initializer_list<Pass> more) { passes.insert(passes.end(), more); };
  switch (target.runtime) {
    case lower::Runtime::any:
      then({pass::bias_for_gelu, legalize, pass::flatten_linear, pass::simplify});
      break;
    case lower::Runtime::ort:
      then({legalize_most, pass::flatten_linear, pass::simplify, fuse_norms, pass::fuse_bias_gelu, legalize});
      break;
  }
  then({pass::add_into_linear, pass::split_permutes, pass::leaky_relu, pass::merge_weights, pass::simplify});
  return passes;
}

}  // namespace

Graph fold_for_codes(Graph graph) { return pass::narrow(pass::fold_scale(pass::simplify(std::move(graph)))); }

OnnxGraph lower_graph(Graph graph, const lower::Target& target) {
  for (const Pass& pass : passes_for(target)) graph = pass(std::move(graph));
  verify(graph);
  return lower::lower(graph, target);
}

}  // namespace onnxport::pipeline
