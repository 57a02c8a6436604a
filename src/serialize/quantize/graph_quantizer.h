/// Quantizes the values of a graph.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/weight_quantized.h"
#include "onnxport/dynamic_quantization.h"
#include "serialize/lazy_model.h"

namespace onnxport::serialize {

/// What the graphs of a file share.
struct QuantizedModel {
  LazyModel& model;
  const DynamicQuantization& how;
  std::map<std::string, std::int64_t> nodes{};  ///< quantized nodes by type
  std::set<std::string> names{};                ///< of all nodes that were there before
  std::vector<Weight> scales{};                 ///< of the quantized weights
};

/// The integer form of a value: names of tensors.
struct QuantizedValue {
  std::string codes, scale, zero_point;
  std::optional<std::int64_t> axis{};  ///< of the channels, if they have scales of their own
};

/// What a node reads a constant as.
enum class Place { activation, weight, weight_with_channels };

/// One graph of a file, while its nodes are replaced. Values of the graphs around it are quantized there, so
/// that all branches share them.
class GraphQuantizer {
 public:
  /// `types`: the same graph from inferred_types(). `outer`: the graph around it, or null.
  GraphQuantizer(QuantizedModel& shared, onnx::GraphProto& graph, const onnx::GraphProto& types,
                 GraphQuantizer* outer);

  /// Replaces the nodes, and adds the initializers that they need.
  void run();

  QuantizedModel& shared() { return shared_; }
  /// Whether the options select the node.
  bool selects(const onnx::NodeProto& node) const;
  /// Whether a value is float32 or float16. `otherwise`: the answer if its type is not known.
  bool is_float(const std::string& name, bool otherwise = false) const;
  /// The initializer of this name, here or in a graph around this one, or null.
  const onnx::TensorProto* constant(const std::string& name) const;
  /// The same for initializers of float32 or float16.
  const onnx::TensorProto* float_constant(const std::string& name) const;
  /// The integer form of a value if it has one, also one of a graph around this one, or null.
  const QuantizedValue* quantized(const std::string& name) const;

  /// The integer form of a value, made at the first call: constants become integers, and a node quantizes
  /// others at run time. Throws ExportError(unsupported) for float16.
  QuantizedValue quantize(const std::string& name, Place place);
  /// Says that a value has this integer form, and does not exist as float any more.
  void set_quantized(const std::string& name, QuantizedValue value) { quantized_[name] = std::move(value); }
  /// Makes sure that a value exists as float.
  void restore(const std::string& name);

  /// Appends a node.
  onnx::NodeProto& add(onnx::NodeProto node);
  /// Adds an initializer, and returns its name.
  std::string add_constant(const std::string& name, const Weight& weight);
  /// The name, with a number behind it if something else has it.
  std::string fresh(const std::string& name);
  /// The node that gives products of scales for nodes without a name, by its name; null if there is none.
  std::string& product_of_scales(const std::string& name) { return products_[name]; }

 private:
  QuantizedValue quantize_constant(const std::string& name, Place place);
  QuantizedValue quantize_at_run_time(const std::string& name);
  bool is_taken(const std::string& name) const;
  [[noreturn]] void refuse_half_precision(const std::string& name) const;

  QuantizedModel& shared_;
  onnx::GraphProto& graph_;
  const onnx::GraphProto& inferred_;
  GraphQuantizer* outer_;
  std::unordered_map<std::string, int> constants_;       ///< initializers, by their index
  std::unordered_map<std::string, std::int32_t> types_;  ///< element types of values
  std::set<std::string> values_;                         ///< inputs, outputs, and results of nodes
  std::set<std::string> names_;                          ///< of this graph and those inside of it
  std::set<std::string> floats_;                         ///< values that exist as float at this point
  std::unordered_map<std::string, QuantizedValue> quantized_;
  std::map<std::string, std::string> products_;
  std::vector<onnx::NodeProto> first_;  ///< nodes that read only initializers
  std::vector<onnx::NodeProto> nodes_;
};

}  // namespace onnxport::serialize
