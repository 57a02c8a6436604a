/// The state of one lowering, and the tools for the functions of each op.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lower/lower.h"
#include "lower/target.h"
#include "onnx/element_type.h"
#include "onnxport/graph.h"

namespace onnxport::lower {

using Names = std::vector<std::string>;

/// An ONNX operator. The default domain is ai.onnx.
struct OpType {
  OpType(std::string op_type) : name(std::move(op_type)) {}  // NOLINT: most are of ai.onnx
  OpType(const char* op_type) : name(op_type) {}             // NOLINT
  OpType(std::string op_type, std::string op_domain)
      : name(std::move(op_type)), domain(std::move(op_domain)) {}
  std::string name, domain;
};
/// A contrib operator of ONNX Runtime.
inline OpType contrib(const char* name) { return {name, kMicrosoftDomain}; }

/// The ONNX names of an op's results; usually one.
struct Lowered : Names {
  Lowered(std::string only) { push_back(std::move(only)); }  // NOLINT: a name is the results of most ops
  Lowered(Names names) : Names(std::move(names)) {}          // NOLINT
};

/// Appends ONNX nodes. Constants and runtime dimensions are made once per graph.
class Emitter {
 public:
  Emitter(const Graph& graph, const Target& target);

  int opset() const { return target_.opset; }
  const Target& target() const { return target_; }

  /// The ONNX name of a lowered value; empty for an absent one. A weight becomes an initializer on first use.
  std::string name_of(const Value& value);
  Names names_of(const std::vector<Value>& values);

  /// Appends a node with one output and returns the output's name.
  std::string emit(OpType op_type, Names inputs, OnnxAttrs attrs = {});
  /// Appends a node with several outputs and returns their names.
  Names emit_all(OpType op_type, std::size_t outputs, Names inputs, OnnxAttrs attrs = {});
  /// The same, but without some of the outputs, whose names are empty.
  Names emit_wanted(OpType op_type, const std::vector<bool>& wanted, Names inputs, OnnxAttrs attrs = {});

  /// Whether the graph uses this result of a node.
  bool is_used(const Node& node, std::uint32_t index) const;
  /// Whether an op of this kind reads a value.
  bool is_read_by(const Value& value, Op op) const;
  /// Whether `fits` is true for any node that reads the first result of `node`, or it is an output.
  bool any_reader(const Node& node, const std::function<bool(const Node&)>& fits) const;

  /// The codes, scale and zero point of a dynamic_quantize node, as its lowering made them.
  void set_quantized(const Node& node, Names names) { quantized_[&node] = std::move(names); }
  const Names& quantized(const Value& value) const { return quantized_.at(value.node()); }

  /// The result of `make`, emitted under `path` the first time that this key is requested.
  std::string shared(std::string_view path, const std::string& key, const std::function<std::string()>& make);

  /// An initializer.
  std::string weight(const Weight& weight);
  /// An initializer of elements of less than a byte, from their bytes.
  std::string packed_weight(const Weight& bytes, PackedType type);
  /// An int64 vector constant.
  std::string ints(const std::vector<std::int64_t>& values);
  std::string scalar(double value, DType dtype);

  /// A dimension as int64[1]: a constant, or read from the shape of an input.
  std::string dim(const Dim& dim);
  /// A dimension as an int64 scalar.
  std::string scalar_dim(const Dim& dim);
  /// Zeros of a type.
  std::string zeros(const TensorType& type);
  /// The shape operand of Reshape: a constant with 0 and -1 if at most one extent is unknown.
  std::string reshape_target(const Shape& from, const Shape& to);
  /// From now on, this axis of a tensor tells the value of a symbol that no input has.
  void define(const Dim& symbol, const std::string& tensor, std::size_t axis) {
    defined_.emplace(symbol.str(), std::pair(tensor, axis));
  }
  /// The extents as one int64 vector.
  std::string dims(const std::vector<Dim>& extents);
  /// The shape operand of Expand: 1 for extents that stay.
  std::string expand_target(const Shape& from, const Shape& to);

  /// Squeeze, Unsqueeze and the reductions took `axes` as an attribute before some opset, and take it as an
  /// operand since then.
  std::string emit_with_axes(std::string op_type, std::string input, std::vector<std::int64_t> axes,
                             int operand_since, OnnxAttrs attrs = {});

  std::string cast(const std::string& x, DType to) { return emit("Cast", {x}, {{"to", element_type(to)}}); }

  /// A graph for an attribute of a node, such as the body of a Scan: takes values of these types and gives
  /// the results of `make`. Its nodes may take any value made before; its weights are the main graph's.
  std::shared_ptr<OnnxGraph> body(std::string_view name, const std::vector<TensorType>& inputs,
                                  const std::vector<TensorType>& outputs,
                                  const std::function<Names(const Names& inputs)>& make);

  /// Lowers the whole graph.
  OnnxGraph run();

 private:
  void note_readers();
  std::string unique(std::string_view base);
  void declare(const Node& node, const Lowered& made);
  std::string symbol(const std::string& name);
  /// Extent of an axis of an input, as a vector of one element; empty if no input has this axis.
  std::string axis_of_input(const Dim& wanted);
  std::string extent(const std::string& input, std::size_t axis);
  void name_outputs();

  const Graph& graph_;
  Target target_;
  OnnxGraph result_;
  std::map<std::pair<const Node*, std::uint32_t>, std::string> names_;
  std::unordered_map<std::string, std::string> initializers_;           // fingerprint -> name
  std::map<std::string, std::string> dims_;                             // printed dim(s) -> name
  std::map<std::string, std::string> shared_;                           // key -> name
  std::map<std::string, std::pair<std::string, std::size_t>> defined_;  // symbol -> an axis of a tensor
  std::set<std::pair<const Node*, std::uint32_t>> used_;
  std::map<const Node*, std::vector<const Node*>> readers_;  // of weights and dynamic_quantize
  std::map<const Node*, Names> quantized_;
  std::set<std::string, std::less<>> taken_;
  std::unordered_map<std::string, int> next_suffix_;
  std::unordered_map<std::string, std::size_t> producers_;  // output -> index of its node
  std::string path_;
};

#define ONNXPORT_COMPOSITE(name)
#define ONNXPORT_PRIMITIVE(name) Lowered lower_##name(Emitter& e, const Node& node);
#include "onnxport/ops.def"

}  // namespace onnxport::lower
