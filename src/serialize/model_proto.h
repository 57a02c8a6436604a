/// Parts of a lowered graph as ONNX messages, without the payloads of initializers.
#pragma once

#include <onnx/onnx_pb.h>

#include <string>

#include "onnx/onnx_graph.h"

namespace onnxport::serialize {

/// Nodes and name. Initializers of subgraphs are inside the message, with their bytes.
onnx::GraphProto nodes_proto(const OnnxGraph& graph);
/// Inputs and outputs.
onnx::GraphProto interface_proto(const OnnxGraph& graph);
/// Dims, type and name of a tensor, without its bytes. Throws ExportError(internal) if the bytes of a packed
/// tensor are not those of its elements.
onnx::TensorProto tensor_header(const OnnxInitializer& initializer);
/// The lowest IR version that has the opset and the element types of a graph.
int ir_version_for(const OnnxGraph& graph);
/// All bytes of a weight, for small ones.
std::string payload(const Weight& weight);

/// Number of bytes of a weight.
std::uint64_t byte_size(const Weight& weight);
/// Makes a tensor refer to bytes in another file. `location` is the name of a file beside the model.
void set_external(onnx::TensorProto& tensor, const std::string& location, std::uint64_t offset,
                  std::uint64_t bytes);

/// The wire format of a message, the same on every run.
std::string serialize(const google::protobuf::MessageLite& message);

}  // namespace onnxport::serialize
