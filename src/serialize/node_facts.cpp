#include "serialize/node_facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <onnx/onnx_pb.h>

#include <map>
#include <span>
#include <utility>

#include "onnx/element_type.h"
#include "onnx_checker.h"
#include "onnxport/tensor.h"
#include "serialize/lazy_model.h"
#include "serialize/quantize/nodes.h"
#include "serialize/quantize/value_types.h"
#include "serialize/summary.h"
#include "support/hash.h"

namespace onnxport::serialize {
namespace {

/// Type, shape and numbers; of larger tensors, something that tells different contents apart.
std::string tensor_text(const LazyModel& model, const onnx::TensorProto& tensor) {
  constexpr std::int64_t kFew = 8;
  const std::string type =
      fmt::format("{}[{}]", element_type_name(tensor.data_type()), fmt::join(tensor.dims(), ", "));
  const Weight weight = weight_of(model, tensor);
  if (!weight) return fmt::format("{} of {} bytes", type, tensor.ByteSizeLong());
  Tensor values(weight.dtype(), weight.shape());
  weight.read(0, weight.numel(), values.data.data());
  if (values.numel() <= kFew) return fmt::format("{} {}", type, fmt::join(values.to_doubles(), " "));
  return fmt::format("{} {}", type, hash128(std::as_bytes(std::span(values.data))));
}

std::string text_of(const LazyModel& model, const onnx::AttributeProto& attribute) {
  switch (attribute.type()) {
    case onnx::AttributeProto::FLOAT:
      return fmt::format("{}", attribute.f());
    case onnx::AttributeProto::INT:
      return fmt::format("{}", attribute.i());
    case onnx::AttributeProto::STRING:
      return attribute.s();
    case onnx::AttributeProto::FLOATS:
      return fmt::format("[{}]", fmt::join(attribute.floats(), ", "));
    case onnx::AttributeProto::INTS:
      return fmt::format("[{}]", fmt::join(attribute.ints(), ", "));
    case onnx::AttributeProto::STRINGS:
      return fmt::format("[{}]", fmt::join(attribute.strings(), ", "));
    case onnx::AttributeProto::TENSOR:
      return tensor_text(model, attribute.t());
    default:
      return fmt::format("{} of {} bytes", onnx::AttributeProto::AttributeType_Name(attribute.type()),
                         attribute.ByteSizeLong());
  }
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : model_(read_lazy_model(path)) {
    for (const auto& opset : model_.head.opset_import()) {
      opsets_[opset.domain() == "ai.onnx" ? "" : opset.domain()] = static_cast<int>(opset.version());
    }
  }

  std::vector<NodeFacts> read() {
    visit(model_.graph, inferred_types(model_), "");
    return std::move(facts_);
  }

 private:
  void visit(const onnx::GraphProto& graph, const onnx::GraphProto& typed, const std::string& place) {
    std::map<std::string, const onnx::ValueInfoProto*> types;
    for (const auto* values : {&typed.value_info(), &typed.output()}) {
      for (const onnx::ValueInfoProto& value : *values) types.emplace(value.name(), &value);
    }
    for (const onnx::NodeProto& node : graph.node()) {
      if (node.op_type() == "Constant") continue;
      add(node, place, types);
      const std::string& name = node.name().empty() && node.output_size() > 0 ? node.output(0) : node.name();
      for (const onnx::AttributeProto& attribute : node.attribute()) {
        if (attribute.has_g())
          visit(attribute.g(), attribute.g(), fmt::format("{}{}/{}: ", place, name, attribute.name()));
      }
    }
  }

  void add(const onnx::NodeProto& node, const std::string& place,
           const std::map<std::string, const onnx::ValueInfoProto*>& types) {
    NodeFacts& facts = facts_.emplace_back();
    const std::string domain = is_standard(node) ? "" : node.domain();
    facts.place = place;
    facts.name = node.name();
    facts.op = domain.empty() ? node.op_type() : domain + "." + node.op_type();
    facts.inputs = free_names(node);
    facts.inputs.insert(node.input().begin(), node.input().end());
    facts.inputs.erase("");  // an optional input that is not given
    for (const std::string& name : node.output()) {
      const auto type = types.find(name);
      facts.outputs.push_back(type == types.end() ? ValueSummary{name, "", {}}
                                                  : describe_value(*type->second));
    }
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.has_g() || attribute.graphs_size() > 0) continue;
      facts.attributes[attribute.name()] = text_of(model_, attribute);
    }
    const auto opset = opsets_.find(domain);
    const onnx::OpSchema* schema =
        opset == opsets_.end() ? nullptr : onnx_schemas().GetSchema(node.op_type(), opset->second, domain);
    if (schema == nullptr) return;
    for (const auto& [name, attribute] : schema->attributes()) {
      if (attribute.default_value.type() != onnx::AttributeProto::UNDEFINED)
        facts.attributes.try_emplace(name, text_of(model_, attribute.default_value));
    }
  }

  LazyModel model_;
  std::map<std::string, int> opsets_;
  std::vector<NodeFacts> facts_;
};

}  // namespace

std::vector<NodeFacts> node_facts(const std::filesystem::path& path) { return Reader(path).read(); }

}  // namespace onnxport::serialize
