#include "serialize/quantize/graph_quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serialize/quantize/nodes.h"
#include "serialize/quantize/operators.h"
#include "support/fail.h"

namespace onnxport::serialize {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::ranges::find(list, item) != list.end();
}

bool is_float_type(std::int32_t type) {
  return type == onnx::TensorProto::FLOAT || type == onnx::TensorProto::FLOAT16;
}

/// The same as quantize_tensor. A transposed matrix is quantized as it is stored, and its codes are
/// transposed: they are smaller, and the values are read in order.
QuantizedTensor quantize_stored(const Weight& weight, TensorParameters parameters, const std::string& name) {
  const Weight stored = weight.transpose_of();
  if (!stored) return quantize_tensor(weight.named(name), parameters);
  if (parameters.axis) parameters.axis = 1 - *parameters.axis;
  QuantizedTensor made = quantize_tensor(stored.named(name), parameters);
  made.codes = made.codes.permute({1, 0});
  return made;
}

}  // namespace

GraphQuantizer::GraphQuantizer(QuantizedModel& shared, onnx::GraphProto& graph, const onnx::GraphProto& types,
                               GraphQuantizer* outer)
    : shared_(shared), graph_(graph), inferred_(types), outer_(outer) {
  for (int i = 0; i < graph.initializer_size(); ++i) constants_[graph.initializer(i).name()] = i;
  for (const auto* values : {&types.value_info(), &types.output(), &types.input()}) {
    for (const onnx::ValueInfoProto& value : *values) {
      if (!value.type().has_tensor_type()) continue;
      types_[value.name()] = value.type().tensor_type().elem_type();
    }
  }
  for (const auto* values : {&graph.output(), &graph.input()}) {
    for (const onnx::ValueInfoProto& value : *values) values_.insert(value.name());
  }
  for (const onnx::NodeProto& node : graph.node()) values_.insert(node.output().begin(), node.output().end());
  for (const onnx::ValueInfoProto& input : graph.input()) {
    if (!constants_.contains(input.name())) floats_.insert(input.name());
  }
  collect_names(graph, names_);
}

void GraphQuantizer::run() {
  google::protobuf::RepeatedPtrField<onnx::NodeProto> old;
  old.Swap(graph_.mutable_node());
  for (int i = 0; i < old.size(); ++i) {
    onnx::NodeProto& node = old[i];
    std::vector<const onnx::GraphProto*> types;
    for_each_inner(inferred_.node(i), [&](const onnx::GraphProto& inner) { types.push_back(&inner); });
    std::size_t index = 0;
    for_each_inner(node, [&](onnx::GraphProto& inner) {
      GraphQuantizer(shared_, inner, *types.at(index++), this).run();
    });
    const std::string op_type = node.op_type();
    shared_.names.insert(node.name());
    if (selects(node) && quantize_node(*this, node)) {
      ++shared_.nodes[op_type];
      continue;
    }
    for (const std::string& input : node.input()) restore(input);
    for (const std::string& name : free_names(node)) {
      if (!constants_.contains(name)) restore(name);
    }
    add(std::move(node));
  }
  for (const onnx::ValueInfoProto& output : graph_.output()) restore(output.name());
  for (auto* nodes : {&first_, &nodes_}) {
    for (onnx::NodeProto& node : *nodes) graph_.add_node()->Swap(&node);
  }
}

bool GraphQuantizer::selects(const onnx::NodeProto& node) const {
  const DynamicQuantization& how = shared_.how;
  return contains(how.operators, node.op_type()) && !contains(how.excluded_nodes, node.name()) &&
         (how.nodes.empty() || contains(how.nodes, node.name()));
}

bool GraphQuantizer::is_float(const std::string& name, bool otherwise) const {
  if (const auto index = constants_.find(name); index != constants_.end())
    return is_float_type(graph_.initializer(index->second).data_type());
  if (const auto type = types_.find(name); type != types_.end()) return is_float_type(type->second);
  return outer_ == nullptr ? otherwise : outer_->is_float(name, otherwise);
}

const onnx::TensorProto* GraphQuantizer::constant(const std::string& name) const {
  if (const auto index = constants_.find(name); index != constants_.end())
    return &graph_.initializer(index->second);
  return outer_ == nullptr ? nullptr : outer_->constant(name);
}

const onnx::TensorProto* GraphQuantizer::float_constant(const std::string& name) const {
  const onnx::TensorProto* tensor = constant(name);
  return tensor != nullptr && is_float_type(tensor->data_type()) ? tensor : nullptr;
}

const QuantizedValue* GraphQuantizer::quantized(const std::string& name) const {
  if (const auto value = quantized_.find(name); value != quantized_.end()) return &value->second;
  return outer_ == nullptr ? nullptr : outer_->quantized(name);
}

QuantizedValue GraphQuantizer::quantize(const std::string& name, Place place) {
  if (name.empty()) return {};
  if (const auto value = quantized_.find(name); value != quantized_.end()) return value->second;
  if (constants_.contains(name)) return quantized_[name] = quantize_constant(name, place);
  if (values_.contains(name)) return quantized_[name] = quantize_at_run_time(name);
  if (outer_ != nullptr) return outer_->quantize(name, place);
  fail(ErrorCode::io, "{}: nodes read '{}', but nothing gives it: the model is damaged",
       shared_.model.path.string(), name);
}

QuantizedValue GraphQuantizer::quantize_constant(const std::string& name, Place place) {
  const DynamicQuantization& how = shared_.how;
  const onnx::TensorProto& tensor = graph_.initializer(constants_.at(name));
  const Weight weight = weight_of(shared_.model, tensor);
  if (tensor.data_type() == onnx::TensorProto::FLOAT16) refuse_half_precision(name);
  if (!weight || weight.dtype() != DType::f32) {
    fail(ErrorCode::unsupported, "{}: cannot quantize tensor '{}': expected float32 values",
         shared_.model.path.string(), name);
  }
  TensorParameters parameters;
  parameters.dtype = place == Place::activation ? DType::u8 : how.weight_dtype;
  const Symmetry symmetry = parameters.dtype == how.weight_dtype ? how.weights : how.tables;
  parameters.symmetric = symmetry == Symmetry::symmetric;
  parameters.reduce_range = how.reduce_range && place != Place::activation;
  QuantizedValue value;
  // ONNX Runtime takes the scales of channels for matrices only.
  if (place == Place::weight_with_channels && how.per_channel && weight.shape().size() == 2) value.axis = 1;
  parameters.axis = value.axis;
  const QuantizedTensor made = quantize_stored(weight, parameters, name);
  shared_.scales.push_back(made.scale);
  value.scale = add_constant(name + "_scale", made.scale);
  value.zero_point = add_constant(name + "_zero_point", made.zero_point);
  value.codes = add_constant(name + "_quantized", made.codes);
  return value;
}

QuantizedValue GraphQuantizer::quantize_at_run_time(const std::string& name) {
  if (const auto type = types_.find(name);
      type != types_.end() && type->second == onnx::TensorProto::FLOAT16) {
    refuse_half_precision(name);
  }
  QuantizedValue value{fresh(name + "_quantized"), fresh(name + "_scale"), fresh(name + "_zero_point")};
  add(make_node("DynamicQuantizeLinear", name + "_QuantizeLinear", {name},
                {value.codes, value.scale, value.zero_point}));
  return value;
}

void GraphQuantizer::refuse_half_precision(const std::string& name) const {
  fail(ErrorCode::unsupported,
       "{}: '{}' is float16, but dynamic quantization needs float32: export the model with --dtype fp32 and "
       "quantize that file",
       shared_.model.path.string(), name);
}

void GraphQuantizer::restore(const std::string& name) {
  const auto found = quantized_.find(name);
  if (found == quantized_.end() || !floats_.insert(name).second) return;
  const QuantizedValue& value = found->second;
  onnx::NodeProto node = make_node("DequantizeLinear", name + "_DequantizeLinear",
                                   {value.codes, value.scale, value.zero_point}, {name});
  if (value.axis) add_int(node, "axis", *value.axis);
  if (constants_.contains(name)) {
    first_.push_back(std::move(node));  // nodes before this one may read it too
  } else {
    nodes_.push_back(std::move(node));
  }
}

onnx::NodeProto& GraphQuantizer::add(onnx::NodeProto node) {
  floats_.insert(node.output().begin(), node.output().end());
  return nodes_.emplace_back(std::move(node));
}

std::string GraphQuantizer::add_constant(const std::string& name, const Weight& weight) {
  std::string made = fresh(name);
  *graph_.add_initializer() = make_tensor(shared_.model, made, weight);
  return made;
}

std::string GraphQuantizer::fresh(const std::string& name) {
  std::string made = name;
  for (int i = 1; is_taken(made); ++i) made = fmt::format("{}_{}", name, i);
  names_.insert(made);
  return made;
}

bool GraphQuantizer::is_taken(const std::string& name) const {
  return names_.contains(name) || (outer_ != nullptr && outer_->is_taken(name));
}

}  // namespace onnxport::serialize
