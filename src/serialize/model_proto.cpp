#include "serialize/model_proto.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <vector>

#include "onnx/element_type.h"
#include "onnxport/error.h"
#include "serialize/skeleton.h"
#include "serialize/writer.h"

namespace onnxport::serialize {
namespace {

onnx::TensorProto whole_tensor(const OnnxInitializer& initializer) {
  onnx::TensorProto tensor = tensor_header(initializer);
  if (initializer.weight.numel() > 0) tensor.set_raw_data(payload(initializer.weight));
  return tensor;
}

onnx::GraphProto whole_graph(const OnnxGraph& graph) {
  onnx::GraphProto proto = nodes_proto(graph);
  proto.MergeFrom(interface_proto(graph));
  for (const OnnxInitializer& initializer : graph.initializers)
    *proto.add_initializer() = whole_tensor(initializer);
  return proto;
}

struct SetAttribute {
  onnx::AttributeProto& attr;

  void operator()(std::int64_t value) const {
    attr.set_type(onnx::AttributeProto::INT);
    attr.set_i(value);
  }
  void operator()(float value) const {
    attr.set_type(onnx::AttributeProto::FLOAT);
    attr.set_f(value);
  }
  void operator()(const std::string& value) const {
    attr.set_type(onnx::AttributeProto::STRING);
    attr.set_s(value);
  }
  void operator()(const std::vector<std::int64_t>& values) const {
    attr.set_type(onnx::AttributeProto::INTS);
    attr.mutable_ints()->Add(values.begin(), values.end());
  }
  void operator()(const std::vector<float>& values) const {
    attr.set_type(onnx::AttributeProto::FLOATS);
    attr.mutable_floats()->Add(values.begin(), values.end());
  }
  void operator()(const Weight& value) const {
    attr.set_type(onnx::AttributeProto::TENSOR);
    *attr.mutable_t() = whole_tensor({"", value});
  }
  void operator()(const std::shared_ptr<OnnxGraph>& value) const {
    attr.set_type(onnx::AttributeProto::GRAPH);
    *attr.mutable_g() = whole_graph(*value);
  }
};

void set_value_info(onnx::ValueInfoProto& proto, const OnnxValueInfo& value) {
  proto.set_name(value.name);
  auto& tensor = *proto.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(element_type(value.type.dtype));
  auto& shape = *tensor.mutable_shape();  // present even for a scalar: no shape would mean "any rank"
  for (int axis = 0; const Dim& dim : value.type.shape) {
    if (const auto extent = dim.constant()) {
      shape.add_dim()->set_dim_value(*extent);
    } else {
      const auto name = value.axis_names.find(axis);
      shape.add_dim()->set_dim_param(name == value.axis_names.end() ? dim.str() : name->second);
    }
    ++axis;
  }
}

}  // namespace

onnx::GraphProto nodes_proto(const OnnxGraph& graph) {
  onnx::GraphProto proto;
  proto.set_name(graph.name);
  for (const OnnxNode& node : graph.nodes) {
    onnx::NodeProto& out = *proto.add_node();
    out.mutable_input()->Add(node.inputs.begin(), node.inputs.end());
    out.mutable_output()->Add(node.outputs.begin(), node.outputs.end());
    if (!node.name.empty()) out.set_name(node.name);
    out.set_op_type(node.op_type);
    if (!node.domain.empty()) out.set_domain(node.domain);
    for (const auto& [name, value] : node.attrs) {
      onnx::AttributeProto& attr = *out.add_attribute();
      attr.set_name(name);
      std::visit(SetAttribute{attr}, value);
    }
  }
  return proto;
}

onnx::GraphProto interface_proto(const OnnxGraph& graph) {
  onnx::GraphProto proto;
  for (const OnnxValueInfo& value : graph.inputs) set_value_info(*proto.add_input(), value);
  for (const OnnxValueInfo& value : graph.outputs) set_value_info(*proto.add_output(), value);
  for (const OnnxValueInfo& value : graph.values) set_value_info(*proto.add_value_info(), value);
  return proto;
}

onnx::TensorProto tensor_header(const OnnxInitializer& initializer) {
  const Weight& weight = initializer.weight;
  const std::vector<std::int64_t>& shape =
      initializer.packed ? initializer.packed->shape : initializer.weight.shape();
  onnx::TensorProto tensor;
  tensor.mutable_dims()->Add(shape.begin(), shape.end());
  tensor.set_data_type(initializer.packed ? element_type(initializer.packed->element)
                                          : element_type(weight.dtype()));
  if (!initializer.name.empty()) tensor.set_name(initializer.name);
  if (initializer.packed && (weight.dtype() != DType::u8 || byte_size(weight) != raw_bytes(tensor))) {
    throw ExportError(
        ErrorCode::internal,
        fmt::format("initializer {}: the bytes of its {}[{}] are {}[{}], expected uint8[{}]",
                    initializer.name, element_type_name(tensor.data_type()), fmt::join(shape, ", "),
                    to_string(weight.dtype()), fmt::join(weight.shape(), ", "), raw_bytes(tensor)));
  }
  return tensor;
}

int ir_version_for(const OnnxGraph& graph) {
  int version = ir_version_for(graph.opsets.contains("") ? graph.opsets.at("") : 0);
  for (const OnnxInitializer& initializer : graph.initializers) {
    if (initializer.packed) version = std::max(version, ir_version_of(initializer.packed->element));
  }
  for (const OnnxNode& node : graph.nodes) {
    for (const auto& inner : graphs_of(node)) version = std::max(version, ir_version_for(*inner));
  }
  return version;
}

std::uint64_t byte_size(const Weight& weight) {
  return static_cast<std::uint64_t>(weight.numel()) * size_of(weight.dtype());
}

std::string payload(const Weight& weight) {
  std::string bytes(byte_size(weight), '\0');
  weight.read(0, weight.numel(), reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

void set_external(onnx::TensorProto& tensor, const std::string& location, std::uint64_t offset,
                  std::uint64_t bytes) {
  const auto add = [&](const char* key, std::string value) {
    onnx::StringStringEntryProto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(std::move(value));
  };
  add("location", location);
  add("offset", std::to_string(offset));
  add("length", std::to_string(bytes));
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
}

std::string serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    if (!message.SerializeToCodedStream(&coded)) {
      throw ExportError(ErrorCode::internal,
                        "a part of the onnx message exceeds 2 GB, the limit of protobuf");
    }
  }
  return bytes;
}

}  // namespace onnxport::serialize
