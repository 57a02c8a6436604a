#include "serialize/lazy_layout.h"

#include <algorithm>

#include "serialize/model_proto.h"
#include "serialize/wire.h"

namespace onnxport::serialize {
namespace {

bool is_lazy(const onnx::TensorProto& tensor) {
  return tensor.data_location() == onnx::TensorProto::EXTERNAL;
}
bool is_lazy(const onnx::NodeProto& node);
bool is_lazy(const onnx::GraphProto& graph) {
  return std::ranges::any_of(graph.initializer(), [](const auto& tensor) { return is_lazy(tensor); }) ||
         std::ranges::any_of(graph.node(), [](const auto& node) { return is_lazy(node); });
}
bool is_lazy(const onnx::AttributeProto& attribute) {
  return (attribute.has_t() && is_lazy(attribute.t())) || (attribute.has_g() && is_lazy(attribute.g())) ||
         std::ranges::any_of(attribute.graphs(), [](const auto& graph) { return is_lazy(graph); });
}
bool is_lazy(const onnx::NodeProto& node) {
  return std::ranges::any_of(node.attribute(), [](const auto& attribute) { return is_lazy(attribute); });
}

/// Messages with lazy tensors, field by field.
class Messages {
 public:
  Messages(const LazyModel& model, DataFiles* data) : model_(model), data_(data) {}

  Layout main_graph() { return graph(model_.graph, data_); }

 private:
  template <class Message>
  Layout whole(const Message& message) {
    Layout layout;
    layout.add(serialize(message));
    return layout;
  }

  Layout tensor(const onnx::TensorProto& tensor, DataFiles* data) {
    const Weight* weight = lazy_data(model_, tensor);
    if (weight == nullptr) return whole(tensor);
    onnx::TensorProto header = tensor;
    header.clear_external_data();
    header.clear_data_location();
    const std::uint64_t bytes = byte_size(*weight);
    Layout layout;
    if (data != nullptr && data->takes(bytes)) {
      const DataFiles::Place place = data->place({tensor.name(), *weight});
      set_external(header, place.location, place.offset, bytes);
      layout.add(serialize(header));
    } else {
      layout.add(serialize(header));
      if (bytes > 0) {
        layout.add(bytes_prefix(onnx::TensorProto::kRawDataFieldNumber, bytes));
        layout.add(*weight);
      }
    }
    return layout;
  }

  Layout attribute(const onnx::AttributeProto& attribute) {
    if (!is_lazy(attribute)) return whole(attribute);
    onnx::AttributeProto rest;
    rest.set_name(attribute.name());
    rest.set_type(attribute.type());
    Layout layout = whole(rest);
    if (attribute.has_t())
      layout.add_field(onnx::AttributeProto::kTFieldNumber, tensor(attribute.t(), nullptr));
    if (attribute.has_g())
      layout.add_field(onnx::AttributeProto::kGFieldNumber, graph(attribute.g(), nullptr));
    for (const onnx::GraphProto& inner : attribute.graphs())
      layout.add_field(onnx::AttributeProto::kGraphsFieldNumber, graph(inner, nullptr));
    return layout;
  }

  Layout node(const onnx::NodeProto& node) {
    if (!is_lazy(node)) return whole(node);
    onnx::NodeProto rest;
    *rest.mutable_input() = node.input();
    *rest.mutable_output() = node.output();
    rest.set_name(node.name());
    rest.set_op_type(node.op_type());
    rest.set_domain(node.domain());
    rest.set_doc_string(node.doc_string());
    *rest.mutable_metadata_props() = node.metadata_props();
    Layout layout = whole(rest);
    for (const onnx::AttributeProto& one : node.attribute())
      layout.add_field(onnx::NodeProto::kAttributeFieldNumber, attribute(one));
    return layout;
  }

  Layout graph(const onnx::GraphProto& graph, DataFiles* data) {
    Layout layout;
    for (const onnx::NodeProto& one : graph.node())
      layout.add_field(onnx::GraphProto::kNodeFieldNumber, node(one));
    for (const onnx::TensorProto& one : graph.initializer())
      layout.add_field(onnx::GraphProto::kInitializerFieldNumber, tensor(one, data));
    onnx::GraphProto rest;
    rest.set_name(graph.name());
    rest.set_doc_string(graph.doc_string());
    *rest.mutable_input() = graph.input();
    *rest.mutable_output() = graph.output();
    *rest.mutable_value_info() = graph.value_info();
    *rest.mutable_quantization_annotation() = graph.quantization_annotation();
    *rest.mutable_sparse_initializer() = graph.sparse_initializer();
    *rest.mutable_metadata_props() = graph.metadata_props();
    layout.add(serialize(rest));
    return layout;
  }

  const LazyModel& model_;
  DataFiles* data_;
};

}  // namespace

Layout lazy_layout(const LazyModel& model, DataFiles* data) {
  Layout layout;
  layout.add(serialize(model.head));
  layout.add_field(onnx::ModelProto::kGraphFieldNumber, Messages(model, data).main_graph());
  return layout;
}

}  // namespace onnxport::serialize
