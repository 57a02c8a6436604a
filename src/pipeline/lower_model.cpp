#include "pipeline/lower_model.h"

#include <utility>

#include "lower/lower.h"
#include "pass/passes.h"

namespace onnxport::pipeline {

lower::OnnxGraph lower_graph(Graph graph, int opset) {
  const lower::Target target{.opset = opset};
  graph = pass::simplify(std::move(graph));
  graph = pass::fold_scale(std::move(graph));
  graph = pass::linear_on_images(std::move(graph));
  graph = pass::before_resizing(std::move(graph));
  graph = pass::compose_pointwise(std::move(graph));
  graph = pass::sink_permutes(std::move(graph));
  graph = pass::sum_by_product(std::move(graph));
  graph = pass::narrow(std::move(graph));
  graph = pass::bias_for_gelu(std::move(graph));
  graph = pass::legalize(std::move(graph),
                         [&](const Node& node) { return lower::has_native_form(node, target); });
  graph = pass::flatten_linear(std::move(graph));
  graph = pass::simplify(std::move(graph));
  graph = pass::add_into_linear(std::move(graph));
  graph = pass::merge_weights(std::move(graph));
  graph = pass::simplify(std::move(graph));
  verify(graph);
  return lower::lower(graph, target);
}

}  // namespace onnxport::pipeline
