#include "serialize/probe.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <set>

#include "serialize/model_proto.h"
#include "serialize/skeleton.h"

namespace onnxport::serialize {

Probe::Probe(const std::filesystem::path& path)
    : model_(std::make_shared<const onnx::ModelProto>(read_skeleton(path))) {}

std::string Probe::with_outputs(const std::vector<std::string>& values) const {
  const onnx::GraphProto& whole = model_->graph();
  onnx::ModelProto part;
  part.set_ir_version(model_->ir_version());
  *part.mutable_opset_import() = model_->opset_import();
  *part.mutable_functions() = model_->functions();
  onnx::GraphProto& graph = *part.mutable_graph();
  graph.set_name(whole.name());
  *graph.mutable_input() = whole.input();
  *graph.mutable_initializer() = whole.initializer();
  *graph.mutable_sparse_initializer() = whole.sparse_initializer();
  std::map<std::string, const onnx::ValueInfoProto*> types;
  for (const auto* known : {&whole.value_info(), &whole.output()}) {
    for (const onnx::ValueInfoProto& value : *known) types.emplace(value.name(), &value);
  }
  for (const std::string& name : values) {
    const auto type = types.find(name);
    if (type != types.end()) {
      *graph.add_output() = *type->second;
    } else {
      graph.add_output()->set_name(name);
    }
  }
  std::set<std::string> missing(values.begin(), values.end());
  for (const onnx::NodeProto& node : whole.node()) {
    if (missing.empty()) break;
    *graph.add_node() = node;
    for (const std::string& output : node.output()) missing.erase(output);
  }
  return serialize(part);
}

}  // namespace onnxport::serialize
