#include "transform/roles.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "onnxport/ops.h"
#include "op/attention.h"

namespace onnxport::transform {
namespace {

bool is_layer(const Node& node) { return node.op == Op::linear; }

bool is_source(const Node& node) { return node.op == Op::input || node.op == Op::weight; }

// The layer that makes a value, through ops that only move or add something to its elements; else null.
const Node* layer_behind(Value value) {
  while (value) {
    const Node& node = *value.node();
    if (is_layer(node)) return &node;
    switch (node.op) {
      case Op::reshape:
      case Op::permute:
      case Op::slice:
      case Op::split:
      case Op::add:
      case Op::clamp:
      case Op::rms_norm:
      case Op::cast:
        value = node.inputs[0];
        break;
      default:
        return nullptr;
    }
  }
  return nullptr;
}

}  // namespace

std::vector<bool> routers_of(const Graph& graph) {
  std::vector<bool> routes(graph.nodes().size());
  for (auto it = graph.nodes().rbegin(); it != graph.nodes().rend(); ++it) {
    const Node& node = *it;
    if (node.op == Op::mixture_of_experts) routes[node.inputs[1].node()->id] = true;
    if (!routes[node.id] || is_layer(node) || is_source(node) || node.op == Op::mixture_of_experts) continue;
    for (const Value& input : node.inputs) {
      if (input) routes[input.node()->id] = true;
    }
  }
  return routes;
}

std::vector<bool> mixed_layers_of(const Graph& graph) {
  std::vector<bool> mixed(graph.nodes().size());
  std::vector<const Node*> layers, attentions;
  for (const Node& node : graph.nodes()) {
    if (is_layer(node)) layers.push_back(&node);
    if (node.op == Op::attention) attentions.push_back(&node);
  }
  if (layers.empty()) return mixed;
  mixed[layers.back()->id] = true;
  // The first layer of a block: the first that makes an operand of its attention.
  const auto begin_of = [&](std::size_t block) {
    if (block == attentions.size()) return layers.back()->id;
    std::uint32_t first = attentions[block]->id;
    for (const std::size_t operand : {op::detail::kQuery, op::detail::kKey, op::detail::kValue}) {
      const Node* layer = layer_behind(attentions[block]->inputs[operand]);
      if (layer != nullptr) first = std::min(first, layer->id);
    }
    return first;
  };
  const double eighth = static_cast<double>(attentions.size()) / 8;
  const auto rounded = static_cast<std::int64_t>(std::nearbyint(eighth));
  for (std::size_t block = 0; block < attentions.size(); ++block) {
    const auto at = static_cast<double>(block);
    const bool third = (static_cast<std::int64_t>(block) - rounded) % 3 == 2;
    if (at >= eighth && at < 7 * eighth && !third) continue;
    const Node* value = layer_behind(attentions[block]->inputs[op::detail::kValue]);
    if (value != nullptr) mixed[value->id] = true;
    const std::uint32_t first = attentions[block]->id, next = begin_of(block + 1);
    const auto end = std::find_if(layers.rbegin(), layers.rend(),
                                  [&](const Node* layer) { return layer->id > first && layer->id < next; });
    if (end != layers.rend()) mixed[(*end)->id] = true;
  }
  return mixed;
}

}  // namespace onnxport::transform
