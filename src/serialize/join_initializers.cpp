#include "serialize/join_initializers.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace onnxport::serialize {
namespace {

void count_uses(const onnx::GraphProto& graph, std::unordered_map<std::string_view, int>& uses) {
  for (const auto& output : graph.output()) ++uses[output.name()];
  for (const onnx::NodeProto& node : graph.node()) {
    for (const std::string& input : node.input()) ++uses[input];
    for (const onnx::AttributeProto& attr : node.attribute()) {
      if (attr.has_g()) count_uses(attr.g(), uses);
    }
  }
}

/// The type of a Concat of these, along the first axis, as a tensor without data; nothing where they do not
/// fit.
std::optional<onnx::TensorProto> joined(const onnx::NodeProto& node,
                                        const std::vector<const onnx::TensorProto*>& parts) {
  if (node.attribute_size() != 1 || node.attribute(0).i() != 0) return std::nullopt;
  onnx::TensorProto whole;
  whole.set_name(node.output(0));
  whole.set_data_type(parts.front()->data_type());
  *whole.mutable_dims() = parts.front()->dims();
  if (whole.dims_size() < 2) return std::nullopt;  // vectors may be shapes
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const onnx::TensorProto& part = *parts[i];
    const bool fits = part.data_type() == whole.data_type() && part.dims_size() == whole.dims_size() &&
                      std::equal(part.dims().begin() + 1, part.dims().end(), whole.dims().begin() + 1);
    if (!fits) return std::nullopt;
    whole.set_dims(0, whole.dims(0) + part.dims(0));
  }
  return whole;
}

}  // namespace

void join_initializers(onnx::GraphProto& graph) {
  std::unordered_map<std::string_view, int> uses;
  count_uses(graph, uses);
  auto& initializers = *graph.mutable_initializer();
  std::unordered_map<std::string_view, const onnx::TensorProto*> single;
  for (const onnx::TensorProto& tensor : initializers) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) continue;
    if (const auto use = uses.find(tensor.name()); use != uses.end() && use->second == 1)
      single.emplace(tensor.name(), &tensor);
  }
  std::unordered_set<const onnx::TensorProto*> gone;
  std::vector<onnx::TensorProto> stacks;
  std::vector<const onnx::TensorProto*> parts;
  const auto becomes_initializer = [&](const onnx::NodeProto& node) {
    if (node.op_type() != "Concat" || !node.domain().empty()) return false;
    parts.clear();
    for (const std::string& input : node.input()) {
      const auto part = single.find(input);
      if (part == single.end()) return false;
      parts.push_back(part->second);
    }
    std::optional<onnx::TensorProto> stack = joined(node, parts);
    if (!stack) return false;
    stacks.push_back(*std::move(stack));
    gone.insert(parts.begin(), parts.end());
    return true;
  };
  auto& nodes = *graph.mutable_node();
  nodes.erase(std::remove_if(nodes.begin(), nodes.end(), becomes_initializer), nodes.end());
  google::protobuf::RepeatedPtrField<onnx::TensorProto> kept;
  for (onnx::TensorProto& tensor : initializers) {
    if (!gone.contains(&tensor)) *kept.Add() = std::move(tensor);
  }
  for (onnx::TensorProto& stack : stacks) *kept.Add() = std::move(stack);
  initializers.Swap(&kept);
}

}  // namespace onnxport::serialize
