#include "serialize/quantize/operators.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "onnx/onnx_graph.h"
#include "serialize/quantize/graph_quantizer.h"
#include "serialize/quantize/nodes.h"

namespace onnxport::serialize {
namespace {

/// Whether a value may be quantized: it can be a float as far as is known, and has elements.
bool can_be_codes(const GraphQuantizer& graph, const std::string& name) {
  const onnx::TensorProto* tensor = graph.constant(name);
  const bool empty = tensor != nullptr && std::ranges::find(tensor->dims(), 0) != tensor->dims().end();
  return !empty && graph.is_float(name, true);
}

/// The same, with one scale for the whole tensor.
bool has_one_scale(const GraphQuantizer& graph, const std::string& name) {
  const QuantizedValue* value = graph.quantized(name);
  return can_be_codes(graph, name) && (value == nullptr || !value->axis);
}

/// Makes values floats again that only have an integer form. Constants stay in the file anyway.
void restore(GraphQuantizer& graph, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (graph.constant(name) == nullptr) graph.restore(name);
  }
}

std::string part_name(const onnx::NodeProto& node, const char* suffix) {
  return node.name().empty() ? std::string() : node.name() + suffix;
}

void move_attributes(onnx::NodeProto& from, onnx::NodeProto& to) {
  to.mutable_attribute()->Swap(from.mutable_attribute());
}

/// Appends a node for the product of two integer values, which takes over the attributes of `node`, and those
/// that make floats of its result.
void add_product(GraphQuantizer& graph, const char* op_type, onnx::NodeProto& node, const QuantizedValue& a,
                 const QuantizedValue& b, const std::string& result) {
  const std::string name = part_name(node, "_quant");
  const std::string product = graph.fresh(node.output(0) + "_output_quantized");
  const std::string floats = graph.fresh(product + "_cast_output");
  onnx::NodeProto& integer =
      graph.add(make_node(op_type, name, {a.codes, b.codes, a.zero_point, b.zero_point}, {product}));
  move_attributes(node, integer);
  onnx::NodeProto& cast = graph.add(make_node("Cast", product + "_cast", {product}, {floats}));
  add_int(cast, "to", onnx::TensorProto::FLOAT);
  const std::string scale_name = name.empty() ? a.scale + "_" + b.scale + "_mul" : name + "_scales_mul";
  std::string own;  // nodes without a name share the product of equal scales
  std::string& scale = name.empty() ? graph.product_of_scales(scale_name) : own;
  if (scale.empty()) {
    scale = graph.fresh(scale_name + ":0");
    graph.add(make_node("Mul", scale_name, {a.scale, b.scale}, {scale}));
  }
  graph.add(make_node("Mul", name.empty() ? name : name + "_output_scale_mul", {floats, scale}, {result}));
}

bool quantize_matmul(GraphQuantizer& graph, onnx::NodeProto& node) {
  const std::string a = node.input(0), b = node.input(1);
  if (!graph.is_float(a) && !graph.is_float(b)) return false;
  if (!has_one_scale(graph, a) || !can_be_codes(graph, b)) return false;
  const QuantizedValue left = graph.quantize(a, Place::activation);
  const QuantizedValue right = graph.quantize(b, Place::weight_with_channels);
  add_product(graph, "MatMulInteger", node, left, right, node.output(0));
  return true;
}

bool quantize_conv(GraphQuantizer& graph, onnx::NodeProto& node) {
  const std::string weight = node.input(1), bias = input_of(node, 2), result = node.output(0);
  const onnx::TensorProto* constant = graph.constant(weight);
  if (!graph.is_float(node.input(0)) || (constant == nullptr && !bias.empty())) return false;
  if (!has_one_scale(graph, node.input(0)) || !has_one_scale(graph, weight)) return false;
  const int rank = constant == nullptr ? 0 : constant->dims_size();
  if (constant != nullptr && rank < 3) return false;
  const QuantizedValue left = graph.quantize(node.input(0), Place::activation);
  const QuantizedValue right = graph.quantize(weight, Place::weight);
  if (bias.empty()) {
    add_product(graph, "ConvInteger", node, left, right, result);
    return true;
  }
  restore(graph, {bias});
  const std::string scaled = graph.fresh(result + "quant_scaled_output");
  add_product(graph, "ConvInteger", node, left, right, scaled);
  std::vector<std::int64_t> dims(static_cast<std::size_t>(rank), 1);
  dims[1] = -1;
  const std::string shape =
      graph.add_constant(result + "_bias_reshape_shape", Weight::from_ints({rank}, dims));
  const std::string shaped = graph.fresh(result + "_bias_reshape_output");
  graph.add(make_node("Reshape", "", {bias, shape}, {shaped}));
  graph.add(make_node("Add", result + "_bias_add", {scaled, shaped}, {result}));
  return true;
}

bool quantize_gather(GraphQuantizer& graph, onnx::NodeProto& node) {
  if (graph.float_constant(node.input(0)) == nullptr || !has_one_scale(graph, node.input(0))) return false;
  const QuantizedValue table = graph.quantize(node.input(0), Place::activation);
  const std::string codes = graph.fresh(node.output(0) + "_quantized");
  graph.set_quantized(node.output(0), {codes, table.scale, table.zero_point});
  node.set_input(0, table.codes);
  node.set_output(0, codes);
  graph.add(std::move(node));
  return true;
}

/// Moves codes if there are any.
bool quantize_transpose(GraphQuantizer& graph, onnx::NodeProto& node) {
  const QuantizedValue* found = graph.quantized(node.input(0));
  if (!graph.is_float(node.input(0)) || found == nullptr || found->axis) return false;
  const QuantizedValue value = *found;
  const std::string codes = graph.fresh(node.output(0) + "_quantized");
  graph.set_quantized(node.output(0), {codes, value.scale, value.zero_point});
  node.set_input(0, value.codes);
  node.set_output(0, codes);
  graph.add(std::move(node));
  return true;
}

/// Adds `node` as a contrib operator with other inputs.
void add_contrib(GraphQuantizer& graph, const char* op_type, onnx::NodeProto& node,
                 const std::vector<std::string>& inputs) {
  onnx::NodeProto made =
      make_node(op_type, part_name(node, "_quant"), inputs, {node.output().begin(), node.output().end()});
  made.set_domain(kMicrosoftDomain);
  move_attributes(node, made);
  graph.add(std::move(made));
}

/// QAttention has neither an additional bias nor separate sizes of queries, keys and values, and needs a bias
/// of the projections.
bool quantize_attention(GraphQuantizer& graph, onnx::NodeProto& node) {
  const std::string x = node.input(0), weight = node.input(1), bias = input_of(node, 2);
  if (find_attribute(node, "qkv_hidden_sizes") != nullptr || !input_of(node, 5).empty() || bias.empty())
    return false;
  if (graph.float_constant(weight) == nullptr || !can_be_codes(graph, weight) || !has_one_scale(graph, x))
    return false;
  const QuantizedValue left = graph.quantize(x, Place::activation);
  const QuantizedValue right = graph.quantize(weight, Place::weight_with_channels);
  const std::string mask = input_of(node, 3), past = input_of(node, 4);
  restore(graph, {bias, mask, past});
  add_contrib(graph, "QAttention", node,
              {left.codes, right.codes, bias, left.scale, right.scale, mask, left.zero_point,
               right.zero_point, past});
  return true;
}

/// Tables of words, positions and segments, then the weight and bias of the norm.
bool quantize_embeddings(GraphQuantizer& graph, onnx::NodeProto& node) {
  if (node.output_size() > 2) return false;
  std::vector<std::string> inputs = {node.input(0), node.input(1)}, scales, zero_points;
  for (const int i : {2, 3, 4, 5, 6}) {
    if (!node.input(i).empty() && !has_one_scale(graph, node.input(i))) return false;
  }
  for (const int i : {2, 3, 4, 5, 6}) {
    const QuantizedValue value = graph.quantize(node.input(i), Place::activation);
    inputs.push_back(value.codes);
    scales.push_back(value.scale);
    zero_points.push_back(value.zero_point);
  }
  inputs.push_back(input_of(node, 7));
  inputs.insert(inputs.end(), scales.begin(), scales.end());
  inputs.insert(inputs.end(), zero_points.begin(), zero_points.end());
  add_contrib(graph, "QEmbedLayerNormalization", node, inputs);
  return true;
}

/// int8 weights [directions, 4 * hidden, inputs], stored as [directions, inputs, 4 * hidden].
QuantizedValue quantize_lstm_weight(GraphQuantizer& graph, const std::string& name) {
  const DynamicQuantization& how = graph.shared().how;
  const Weight weight = weight_of(graph.shared().model, *graph.constant(name)).named(name);
  const std::vector<std::int64_t>& dims = weight.shape();
  TensorParameters parameters;
  parameters.symmetric = how.weights == Symmetry::symmetric;
  parameters.reduce_range = how.reduce_range;
  parameters.axis = 0;
  const Weight rows = how.per_channel ? weight.reshape({dims[0] * dims[1], dims[2]}) : weight;
  const QuantizedTensor made = quantize_tensor(rows, parameters);
  graph.shared().scales.push_back(made.scale);
  const auto by_direction = [&](const Weight& one) {
    return how.per_channel ? one.reshape({dims[0], dims[1]}) : one;
  };
  QuantizedValue value;
  value.scale = graph.add_constant(name + "_scale", by_direction(made.scale));
  value.zero_point = graph.add_constant(name + "_zero_point", by_direction(made.zero_point));
  value.codes = graph.add_constant(name + "_quantized", made.codes.reshape(dims).permute({0, 2, 1}));
  return value;
}

bool quantize_lstm(GraphQuantizer& graph, onnx::NodeProto& node) {
  if (!graph.is_float(node.input(0)) || int_attribute(node, "layout", 0) != 0) return false;
  for (const int i : {1, 2}) {
    const onnx::TensorProto* weight = graph.float_constant(node.input(i));
    if (weight == nullptr || weight->data_type() != onnx::TensorProto::FLOAT || weight->dims_size() != 3 ||
        !can_be_codes(graph, node.input(i))) {
      return false;
    }
  }
  std::vector<std::string> inputs;
  for (int i = 0; i < 8; ++i) inputs.push_back(input_of(node, i));
  restore(graph, inputs);
  const QuantizedValue weight = quantize_lstm_weight(graph, node.input(1));
  const QuantizedValue recurrence = quantize_lstm_weight(graph, node.input(2));
  inputs[1] = weight.codes;
  inputs[2] = recurrence.codes;
  for (const QuantizedValue* value : {&weight, &recurrence}) {
    inputs.push_back(value->scale);
    inputs.push_back(value->zero_point);
  }
  auto& attributes = *node.mutable_attribute();
  attributes.erase(std::remove_if(attributes.begin(), attributes.end(),
                                  [](const auto& attribute) { return attribute.name() == "layout"; }),
                   attributes.end());
  add_contrib(graph, "DynamicQuantizeLSTM", node, inputs);
  return true;
}

struct Form {
  const char* op_type;
  bool contrib;
  int inputs;  ///< that every such node has
  bool (*quantize)(GraphQuantizer&, onnx::NodeProto&);
};

constexpr std::array kForms = {
    Form{"MatMul", false, 2, quantize_matmul},
    Form{"Conv", false, 2, quantize_conv},
    Form{"Gather", false, 2, quantize_gather},
    Form{"Transpose", false, 1, quantize_transpose},
    Form{"LSTM", false, 3, quantize_lstm},
    Form{"Attention", true, 2, quantize_attention},
    Form{"EmbedLayerNormalization", true, 7, quantize_embeddings},
};

}  // namespace

bool quantize_node(GraphQuantizer& graph, onnx::NodeProto& node) {
  for (const Form& form : kForms) {
    const bool fits = form.contrib ? node.domain() == kMicrosoftDomain : is_standard(node);
    if (!fits || node.op_type() != form.op_type) continue;
    return node.input_size() >= form.inputs && node.output_size() > 0 && form.quantize(graph, node);
  }
  return false;
}

}  // namespace onnxport::serialize
