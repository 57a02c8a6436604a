#include "serialize/summary.h"

#include <onnx/onnx_pb.h>

#include "onnx/element_type.h"
#include "serialize/quantize/value_types.h"
#include "serialize/skeleton.h"

namespace onnxport::serialize {
namespace {

std::string kind(const onnx::TypeProto& type) {
  switch (type.value_case()) {
    case onnx::TypeProto::kTensorType:
      return element_type_name(type.tensor_type().elem_type());
    case onnx::TypeProto::kSequenceType:
      return "sequence";
    case onnx::TypeProto::kMapType:
      return "map";
    case onnx::TypeProto::kOptionalType:
      return "optional";
    case onnx::TypeProto::kSparseTensorType:
      return "sparse tensor";
    default:
      return "unknown";
  }
}

/// `file`: the name of the model's own file.
InitializerSummary describe(const onnx::TensorProto& tensor, const std::string& file) {
  InitializerSummary summary{tensor.name(),
                             element_type_name(tensor.data_type()),
                             {tensor.dims().begin(), tensor.dims().end()},
                             raw_bytes(tensor),
                             {}};
  if (const auto reference = external_reference(tensor); reference && reference->location != file) {
    summary.file = reference->location;
  }
  return summary;
}

GraphSummary describe(const onnx::GraphProto& graph, const std::string& file) {
  GraphSummary summary;
  summary.name = graph.name();
  for (const auto& input : graph.input()) summary.inputs.push_back(describe_value(input));
  for (const auto& output : graph.output()) summary.outputs.push_back(describe_value(output));
  for (const auto& tensor : graph.initializer()) summary.initializers.push_back(describe(tensor, file));
  for (const auto& value : graph.value_info()) summary.values.push_back(describe_value(value));
  for (const auto& node : graph.node()) {
    NodeSummary& out = summary.nodes.emplace_back();
    out.op_type = node.op_type();
    out.domain = node.domain();
    out.name = node.name();
    out.inputs.assign(node.input().begin(), node.input().end());
    out.outputs.assign(node.output().begin(), node.output().end());
    for (const auto& attr : node.attribute()) {
      if (attr.has_g()) out.graphs.push_back({attr.name(), describe(attr.g(), file)});
      if (attr.type() == onnx::AttributeProto::INT) out.integers.emplace_back(attr.name(), attr.i());
    }
  }
  return summary;
}

/// Takes the types of `inferred`, which has the same nodes.
void take_types(GraphSummary& graph, GraphSummary inferred) {
  graph.values = std::move(inferred.values);
  for (std::size_t i = 0; i < graph.nodes.size() && i < inferred.nodes.size(); ++i) {
    std::vector<SubgraphSummary>& to = graph.nodes[i].graphs;
    std::vector<SubgraphSummary>& from = inferred.nodes[i].graphs;
    for (std::size_t k = 0; k < to.size() && k < from.size(); ++k)
      take_types(to[k].graph, std::move(from[k].graph));
  }
}

}  // namespace

ValueSummary describe_value(const onnx::ValueInfoProto& value) {
  ValueSummary summary{value.name(), kind(value.type()), {}};
  for (const auto& dim : value.type().tensor_type().shape().dim()) {
    if (dim.has_dim_value()) {
      summary.shape.push_back(std::to_string(dim.dim_value()));
    } else {
      summary.shape.push_back(dim.dim_param().empty() ? "?" : dim.dim_param());
    }
  }
  return summary;
}

}  // namespace onnxport::serialize

namespace onnxport {

ModelSummary summarize(const std::filesystem::path& path) {
  const onnx::ModelProto model = serialize::read_skeleton(path);
  ModelSummary summary;
  summary.ir_version = model.ir_version();
  summary.producer = model.producer_name();
  if (!model.producer_version().empty()) summary.producer += " " + model.producer_version();
  for (const auto& opset : model.opset_import()) summary.opsets.emplace_back(opset.domain(), opset.version());
  for (const auto& entry : model.metadata_props()) summary.metadata.emplace_back(entry.key(), entry.value());
  summary.graph = serialize::describe(model.graph(), path.filename().string());
  return summary;
}

ModelSummary summarize_with_types(const std::filesystem::path& path) {
  ModelSummary summary = summarize(path);
  const onnx::GraphProto inferred = serialize::inferred_types(serialize::read_lazy_model(path));
  serialize::take_types(summary.graph, serialize::describe(inferred, path.filename().string()));
  return summary;
}

}  // namespace onnxport
