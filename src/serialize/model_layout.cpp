#include "serialize/model_layout.h"

#include <onnx/onnx_pb.h>

#include "serialize/model_proto.h"
#include "serialize/wire.h"

namespace onnxport::serialize {
namespace {

/// A stored tensor as TensorProto. raw_data is its last field, as in protobuf's own order.
Layout tensor_layout(const OnnxInitializer& initializer, DataFiles* data) {
  onnx::TensorProto header = tensor_header(initializer);
  const std::uint64_t bytes = byte_size(initializer.weight);
  Layout layout;
  if (data != nullptr && data->takes(bytes)) {
    const DataFiles::Place place = data->place(initializer);
    set_external(header, place.location, place.offset, bytes);
    layout.add(serialize(header));
  } else {
    layout.add(serialize(header));
    if (bytes > 0) {  // the checker takes empty data for a contradiction
      layout.add(bytes_prefix(onnx::TensorProto::kRawDataFieldNumber, bytes));
      layout.add(initializer.weight);
    }
  }
  return layout;
}

}  // namespace

Layout model_layout(const OnnxGraph& graph, DataFiles* data) {
  Layout body;  // in the order of field numbers
  body.add(serialize(nodes_proto(graph)));
  for (const OnnxInitializer& initializer : graph.initializers) {
    body.add_field(onnx::GraphProto::kInitializerFieldNumber, tensor_layout(initializer, data));
  }
  body.add(serialize(interface_proto(graph)));

  onnx::ModelProto head, tail;
  head.set_ir_version(ir_version_for(graph));
  head.set_producer_name("onnxport");
  head.set_producer_version(ONNXPORT_VERSION);
  for (const auto& [domain, version] : graph.opsets) {
    onnx::OperatorSetIdProto& opset = *tail.add_opset_import();
    opset.set_domain(domain);
    opset.set_version(version);
  }
  for (const auto& [key, value] : graph.metadata) {
    onnx::StringStringEntryProto& entry = *tail.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  Layout model;
  model.add(serialize(head));
  model.add_field(onnx::ModelProto::kGraphFieldNumber, body);
  model.add(serialize(tail));
  return model;
}

}  // namespace onnxport::serialize
