#include "serialize/quantize/nodes.h"

#include <algorithm>

namespace onnxport::serialize {
namespace {

std::set<std::string> outputs_of_nodes(const onnx::GraphProto& graph) {
  std::set<std::string> names;
  for (const onnx::NodeProto& node : graph.node()) names.insert(node.output().begin(), node.output().end());
  return names;
}

std::set<std::string> names_read(const onnx::GraphProto& graph) {
  std::set<std::string> names;
  for (const onnx::NodeProto& node : graph.node()) {
    names.insert(node.input().begin(), node.input().end());
    names.merge(free_names(node));
  }
  for (const onnx::ValueInfoProto& output : graph.output()) names.insert(output.name());
  names.erase("");
  return names;
}

template <class Messages, class Predicate>
void erase_if(Messages& messages, Predicate predicate) {
  messages.erase(std::remove_if(messages.begin(), messages.end(), predicate), messages.end());
}

}  // namespace

std::set<std::string> free_names(const onnx::GraphProto& graph) {
  std::set<std::string> names = names_read(graph);
  for (const onnx::NodeProto& node : graph.node()) {
    for (const std::string& output : node.output()) names.erase(output);
  }
  for (const onnx::ValueInfoProto& input : graph.input()) names.erase(input.name());
  for (const onnx::TensorProto& tensor : graph.initializer()) names.erase(tensor.name());
  for (const onnx::SparseTensorProto& tensor : graph.sparse_initializer())
    names.erase(tensor.values().name());
  return names;
}

std::set<std::string> free_names(const onnx::NodeProto& node) {
  std::set<std::string> names;
  for_each_inner(node, [&](const onnx::GraphProto& inner) { names.merge(free_names(inner)); });
  return names;
}

void collect_names(const onnx::GraphProto& graph, std::set<std::string>& names) {
  names.merge(outputs_of_nodes(graph));
  for (const onnx::ValueInfoProto& input : graph.input()) names.insert(input.name());
  for (const onnx::TensorProto& tensor : graph.initializer()) names.insert(tensor.name());
  for (const onnx::NodeProto& node : graph.node()) {
    for_each_inner(node, [&](const onnx::GraphProto& inner) { collect_names(inner, names); });
  }
}

void remove_unused(onnx::GraphProto& graph) {
  for (onnx::NodeProto& node : *graph.mutable_node())
    for_each_inner(node, [](onnx::GraphProto& inner) { remove_unused(inner); });
  const std::set<std::string> read = names_read(graph);
  std::set<std::string> given = outputs_of_nodes(graph), removed;
  erase_if(*graph.mutable_initializer(), [&](const onnx::TensorProto& tensor) {
    const bool unused = !read.contains(tensor.name()) || given.contains(tensor.name());
    if (unused) removed.insert(tensor.name());
    return unused;
  });
  erase_if(*graph.mutable_input(), [&](const auto& input) { return removed.contains(input.name()); });
  collect_names(graph, given);
  erase_if(*graph.mutable_value_info(), [&](const auto& value) { return !given.contains(value.name()); });
}

}  // namespace onnxport::serialize
