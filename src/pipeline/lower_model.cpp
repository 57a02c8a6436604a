#include "pipeline/lower_model.h"

#include "lower/lower.h"
#include "pass/passes.h"

namespace onnxport::pipeline {

lower::OnnxGraph lower_graph(Graph graph, int opset) {
  const lower::Target target{.opset = opset};
  graph = pass::simplify(std::move(graph));
  graph = pass::narrow(std::move(graph));
  graph = pass::bias_for_gelu(graph);
  graph = pass::legalize(graph, [&](const Node& node) { return lower::has_native_form(node, target); });
  graph = pass::flatten_linear(graph);
  graph = pass::simplify(std::move(graph));
  graph = pass::add_into_linear(graph);
  graph = pass::merge_weights(graph);
  graph = pass::simplify(std::move(graph));
  verify(graph);
  return lower::lower(graph, target);
}

}  // namespace onnxport::pipeline
