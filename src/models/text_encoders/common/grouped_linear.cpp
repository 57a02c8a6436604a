#include "models/text_encoders/common/grouped_linear.h"

#include <utility>

#include "onnxport/op.h"

namespace onnxport::models {

GroupedLinear::GroupedLinear(std::string path, Weight weight, Weight bias, std::int64_t groups)
    : path_(std::move(path)), weight_(std::move(weight)), bias_(std::move(bias)), groups_(groups) {}

GroupedLinear GroupedLinear::pointwise(const Scope& s, std::int64_t in, std::int64_t out,
                                       std::int64_t groups) {
  const Weight stored = s.weight("weight", {out, in / groups, 1});
  return {s.path(), stored.reshape({out, in / groups}), s.weight("bias", {out}), groups};
}

GroupedLinear GroupedLinear::stacked(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t groups) {
  const Weight bias = s.weight("bias", {out});
  if (groups == 1) return {s.path(), s.weight("weight", {out, in}), bias, groups};
  const Weight stored = s.weight("weight", {groups, in / groups, out / groups});
  return {s.path(), stored.permute({0, 2, 1}).reshape({out, in / groups}), bias, groups};
}

Value GroupedLinear::operator()(Value x) const {
  Graph& graph = x.graph();
  const ModulePath at(graph, path_);
  const Value bias = graph.weight(bias_);
  if (groups_ == 1) return op::linear(x, graph.weight(weight_), bias);
  const std::vector<std::int64_t>& shape = weight_.shape();
  const Value kernel = graph.weight(weight_.reshape({shape[0], shape[1], 1}));
  const Value channels = op::permute(x, {0, 2, 1});
  return op::permute(op::conv1d(channels, kernel, bias, {.groups = groups_}), {0, 2, 1});
}

}  // namespace onnxport::models
