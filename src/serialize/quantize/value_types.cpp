#include "serialize/quantize/value_types.h"

#include <onnx/shape_inference/implementation.h>

#include <exception>

#include "onnx_checker.h"
#include "serialize/skeleton.h"

namespace onnxport::serialize {
namespace {

/// Declares tensors whose data is not in the message, instead of keeping them: inference would look for a
/// file.
void forget_data(onnx::GraphProto& graph) {
  google::protobuf::RepeatedPtrField<onnx::TensorProto> tensors;
  tensors.Swap(graph.mutable_initializer());
  for (onnx::TensorProto& tensor : tensors) {
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) {
      graph.add_initializer()->Swap(&tensor);
      continue;
    }
    *graph.add_value_info() = type_of(tensor);
  }
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (!attribute.has_t() || attribute.t().data_location() != onnx::TensorProto::EXTERNAL) continue;
      attribute.mutable_t()->clear_external_data();
      attribute.mutable_t()->clear_data_location();
    }
    for_each_inner(node, [](onnx::GraphProto& inner) { forget_data(inner); });
  }
}

}  // namespace

onnx::GraphProto inferred_types(const LazyModel& model) {
  onnx::ModelProto copy = model.head;
  *copy.mutable_graph() = model.graph;
  forget_data(*copy.mutable_graph());
  try {
    onnx::shape_inference::InferShapes(copy, &onnx_schemas(), onnx::ShapeInferenceOptions());
  } catch (const std::exception&) {
    // The types found before and those that the file declares are enough for most nodes.
  }
  return std::move(*copy.mutable_graph());
}

}  // namespace onnxport::serialize
