#include <algorithm>

#include "ir/weight_steps.h"
#include "onnxport/ops.h"
#include "onnxport/report.h"
#include "report/data.h"
#include "support/file.h"

namespace onnxport {
namespace {

using report::json;

// The stored tensors that a weight is made of, as far as its last steps tell.
void add_sources(const Weight& weight, json& sources) {
  if (const TensorView* view = weight.view()) {
    json source = {{"key", view->key},
                   {"dtype", to_string(view->dtype)},
                   {"shape", view->shape},
                   {"bytes", view->bytes()}};
    if (view->file) source["file"] = view->file->name();
    if (std::ranges::find(sources, source) == sources.end()) sources.push_back(std::move(source));
    return;
  }
  const Steps steps = steps_of(weight);
  if (!steps.text.empty()) return add_sources(steps.inner, sources);
  for (const Weight& part : parts_of(weight)) add_sources(part, sources);
}

json describe_weight(const Node& node) {
  const Weight& weight = node.weight;
  json described = {{"name", weight.name()}};
  if (weight.is_constant()) {
    described["constant"] = true;
    return described;
  }
  json sources = json::array();
  add_sources(weight, sources);
  described["bytes"] = static_cast<std::uint64_t>(weight.numel()) * size_of(weight.dtype());
  described["from"] = std::move(sources);
  return described;
}

}  // namespace

std::string graph_to_json(const Component& component, const Graph& graph) {
  json nodes = json::array();
  for (const Node& node : graph.nodes()) {
    json one = {{"op", to_string(node.op)}, {"path", node.path}};
    json types = json::array();
    for (const TensorType& type : node.outputs) types.push_back(to_string(type));
    one["types"] = std::move(types);
    if (!node.inputs.empty()) {
      json operands = json::array();
      for (const Value& input : node.inputs)
        operands.push_back(input ? static_cast<std::int64_t>(input.node()->id) : -1);
      one["in"] = std::move(operands);
    }
    for (const auto& [key, attr] : node.attrs.items()) one["attrs"][key] = to_string(attr);
    if (node.op == Op::input) one["name"] = node.name;
    if (node.op == Op::weight) one["weight"] = describe_weight(node);
    nodes.push_back(std::move(one));
  }
  json outputs = json::array();
  for (const auto& [name, value] : graph.outputs())
    outputs.push_back({{"name", name}, {"node", value.node()->id}, {"type", to_string(value.type())}});
  const json described = {{"component", component.name}, {"stem", component.stem},
                          {"folder", component.folder},  {"task", component.task},
                          {"nodes", std::move(nodes)},   {"outputs", std::move(outputs)}};
  return described.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace onnxport
