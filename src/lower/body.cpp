// Graphs inside of nodes.
#include <fmt/format.h>

#include <utility>

#include "lower/emitter.h"

namespace onnxport::lower {

std::shared_ptr<OnnxGraph> Emitter::body(std::string_view name, const std::vector<TensorType>& inputs,
                                         const std::vector<TensorType>& outputs,
                                         const std::function<Names(const Names&)>& make) {
  auto graph = std::make_shared<OnnxGraph>();
  graph->name = name;
  const std::string inner = path_.empty() ? std::string(name) : fmt::format("{}/{}", path_, name);
  const std::string outer_path = std::exchange(path_, inner);
  // Sizes and shared values that are first asked for in here are unknown outside.
  const auto outer_dims = dims_;
  const auto outer_shared = shared_;
  const auto outer_producers = std::exchange(producers_, {});
  std::vector<OnnxNode> outer_nodes = std::exchange(result_.nodes, {});

  Names taken;
  for (const TensorType& type : inputs) {
    taken.push_back(unique(inner + "/input"));
    graph->inputs.push_back({taken.back(), type});
  }
  Names given = make(taken);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!producers_.contains(given[i])) given[i] = emit("Identity", {given[i]});
    graph->outputs.push_back({given[i], outputs[i]});
  }

  graph->nodes = std::exchange(result_.nodes, std::move(outer_nodes));
  producers_ = outer_producers;
  shared_ = outer_shared;
  dims_ = outer_dims;
  path_ = outer_path;
  return graph;
}

}  // namespace onnxport::lower
