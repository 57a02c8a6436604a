/// .onnx files that are changed: their messages are in memory, their large tensors are not.
#pragma once

#include <onnx/onnx_pb.h>

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "onnxport/weight.h"

namespace onnxport::serialize {

/// A model of which the large tensors stay on disk. Instead of data, such an initializer or tensor attribute
/// has a reference to one of `weights`.
struct LazyModel {
  std::filesystem::path path;  ///< of the file
  onnx::ModelProto head;       ///< all fields except the graph
  onnx::GraphProto graph;      ///< its tensors may have references
  std::vector<Weight> weights;
  std::set<std::filesystem::path> data_files;  ///< of external data, as the file names them
};

/// Reads a file of any producer, with its external data. Tensors of model-local functions and sparse tensors
/// are read into memory. Throws ExportError(io) if it is not a complete ONNX model, or if data is missing,
/// has another size than its tensor, or is outside of the model's folder.
LazyModel read_lazy_model(const std::filesystem::path& path);

/// The weight that a tensor refers to, or null if the data is in the message.
const Weight* lazy_data(const LazyModel& model, const onnx::TensorProto& tensor);

/// The content of a tensor, wherever its data is, named like the tensor. Empty for element types without a
/// DType, and for data that is not stored as raw bytes or floats.
Weight weight_of(const LazyModel& model, const onnx::TensorProto& tensor);

/// A tensor that refers to the weight, which the model takes.
onnx::TensorProto make_tensor(LazyModel& model, const std::string& name, const Weight& weight);

/// Calls `visit` for the initializers of a graph and the tensor attributes (`t`) of its nodes, and for those
/// of the graphs inside of it.
void for_each_tensor(onnx::GraphProto& graph, const std::function<void(onnx::TensorProto&)>& visit);

/// Calls `visit` for each graph in the attributes of a node.
template <class Node, class Visit>
void for_each_inner(Node& node, Visit&& visit) {
  for (int i = 0; i < node.attribute_size(); ++i) {
    if constexpr (std::is_const_v<Node>) {
      if (node.attribute(i).has_g()) visit(node.attribute(i).g());
      for (const auto& graph : node.attribute(i).graphs()) visit(graph);
    } else {
      onnx::AttributeProto& attribute = *node.mutable_attribute(i);
      if (attribute.has_g()) visit(*attribute.mutable_g());
      for (auto& graph : *attribute.mutable_graphs()) visit(graph);
    }
  }
}

}  // namespace onnxport::serialize
