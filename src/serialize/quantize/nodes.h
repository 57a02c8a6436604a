/// Making and searching ONNX nodes.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "serialize/lazy_model.h"

namespace onnxport::serialize {

inline onnx::NodeProto make_node(const std::string& op_type, const std::string& name,
                                 const std::vector<std::string>& inputs,
                                 const std::vector<std::string>& outputs) {
  onnx::NodeProto node;
  node.mutable_input()->Add(inputs.begin(), inputs.end());
  node.mutable_output()->Add(outputs.begin(), outputs.end());
  if (!name.empty()) node.set_name(name);
  node.set_op_type(op_type);
  return node;
}

inline void add_int(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

/// Null if the node does not have it.
inline const onnx::AttributeProto* find_attribute(const onnx::NodeProto& node, const std::string& name) {
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

inline std::int64_t int_attribute(const onnx::NodeProto& node, const std::string& name,
                                  std::int64_t otherwise) {
  const onnx::AttributeProto* attribute = find_attribute(node, name);
  return attribute == nullptr ? otherwise : attribute->i();
}

/// Empty if the node has no such input.
inline std::string input_of(const onnx::NodeProto& node, int index) {
  return index < node.input_size() ? node.input(index) : std::string();
}

/// A name from ai.onnx, in one of its two spellings.
inline bool is_standard(const onnx::NodeProto& node) {
  return node.domain().empty() || node.domain() == "ai.onnx";
}

/// Names that a graph takes from the graphs around it.
std::set<std::string> free_names(const onnx::GraphProto& graph);
/// The same for the graphs inside a node.
std::set<std::string> free_names(const onnx::NodeProto& node);

/// Names of all values of a graph, and of the graphs inside of it.
void collect_names(const onnx::GraphProto& graph, std::set<std::string>& names);

/// Removes initializers that nothing reads, or that nodes give now, and the declarations of values that no
/// longer exist.
void remove_unused(onnx::GraphProto& graph);

}  // namespace onnxport::serialize
