/// The graph of semantic ops: Graph, Node, Value.
///
/// Every value has a dtype and a symbolic shape from the start. Nodes are appended in execution order, so a
/// graph is always topologically sorted. The functions of op.h create ops.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "onnxport/dim.h"
#include "onnxport/dtype.h"
#include "onnxport/export_macro.h"
#include "onnxport/weight.h"

namespace onnxport {

class Graph;
struct Node;

/// A semantic op: ops.h has the names.
enum class Op : std::uint8_t;

/// "linear", "scaled_dot_product_attention", …
ONNXPORT_API std::string_view to_string(Op op);

/// Dtype and shape of a value.
struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
  friend bool operator==(const TensorType&, const TensorType&) = default;
};
/// `float32[batch_size, 16]`
ONNXPORT_API std::string to_string(const TensorType& type);

/// The link from the values of a graph to the graph. It follows the graph when the graph moves, and is empty
/// after the graph is destroyed.
struct GraphAnchor {
  Graph* graph = nullptr;
};

/// A handle to one output of a node: it names graph, node and output. Cheap to copy. The graph owns its
/// nodes. Using a value after its graph was destroyed throws ExportError(internal). A default-constructed
/// Value stands for an absent optional operand. Several threads may read a graph that nobody changes.
class ONNXPORT_API Value {
 public:
  Value() = default;

  explicit operator bool() const { return anchor_ != nullptr; }
  /// Null for an absent value.
  Node* node() const;
  std::uint32_t index() const { return index_; }
  Graph& graph() const;
  const TensorType& type() const;
  DType dtype() const { return type().dtype; }
  const Shape& shape() const { return type().shape; }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape().size()); }
  /// Extent of an axis; negative axes count from the end. Throws ExportError(shape) if out of range.
  const Dim& dim(std::int64_t axis) const;
  /// The same output of the same node, or both absent. Works even after the graphs are destroyed.
  friend bool operator==(const Value&, const Value&) = default;

 private:
  friend struct Node;
  Value(std::shared_ptr<const GraphAnchor> anchor, std::uint32_t node, std::uint32_t index)
      : anchor_(std::move(anchor)), node_(node), index_(index) {}

  std::shared_ptr<const GraphAnchor> anchor_;
  std::uint32_t node_ = 0;  // position in the graph
  std::uint32_t index_ = 0;
};

/// An attribute of a node.
using Attr = std::variant<bool, std::int64_t, double, std::string, DType, std::vector<std::int64_t>, Shape>;

/// The attributes of a node, in the order that its op defines.
class ONNXPORT_API Attrs {
 public:
  // Not inline: each file that includes this would compile copies of the variant.
  Attrs();
  Attrs(std::initializer_list<std::pair<std::string, Attr>> items);
  explicit Attrs(std::vector<std::pair<std::string, Attr>> items);
  Attrs(const Attrs&);
  Attrs(Attrs&&) noexcept;
  Attrs& operator=(const Attrs&);
  Attrs& operator=(Attrs&&) noexcept;
  ~Attrs();

  bool has(std::string_view name) const;
  /// Throws ExportError(internal) if it is absent, std::bad_variant_access if it has another type.
  template <class T>
  const T& get(std::string_view name) const {
    return std::get<T>(at(name));
  }
  std::int64_t integer(std::string_view name) const { return get<std::int64_t>(name); }
  double real(std::string_view name) const { return get<double>(name); }
  bool flag(std::string_view name) const { return get<bool>(name); }
  const std::vector<std::pair<std::string, Attr>>& items() const { return items_; }
  friend bool operator==(const Attrs&, const Attrs&) = default;

 private:
  const Attr& at(std::string_view name) const;
  std::vector<std::pair<std::string, Attr>> items_;
};
ONNXPORT_API std::string to_string(const Attr& attr);

/// One op application.
struct ONNXPORT_API Node {
  Op op = {};
  std::vector<Value> inputs;
  Attrs attrs;
  std::vector<TensorType> outputs;
  Weight weight;     ///< of Op::weight
  std::string name;  ///< of Op::input: the input's name
  std::string path;  ///< module path, `encoder.layer.0.attention.self.query`
  Graph* graph = nullptr;
  std::uint32_t id = 0;  ///< position in the graph

  /// Throws ExportError(internal) when the node is not part of a graph.
  Value out(std::uint32_t index = 0) const;
};

/// Inputs and outputs of a graph, by name, in order.
using NamedValues = std::vector<std::pair<std::string, Value>>;

/// A graph of semantic ops.
class ONNXPORT_API Graph {
 public:
  /// `float_dtype`: the dtype in which float weights enter the graph (`--dtype`).
  explicit Graph(DType float_dtype = DType::f32);
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  /// Values of `other` become values of this graph. `other` may then only be destroyed or assigned to.
  Graph(Graph&& other) noexcept;
  Graph& operator=(Graph&& other) noexcept;
  ~Graph();

  DType float_dtype() const { return float_dtype_; }

  Value input(std::string name, TensorType type);
  /// A weight as a value. Float weights are cast to `float_dtype()`. The same weight gives the same value.
  Value weight(const Weight& weight);
  /// A weight in its own dtype.
  Value weight_as_is(const Weight& weight);
  /// Appends a node. The result types must be correct; the functions in op.h infer them.
  Node& add(Op op, std::vector<Value> inputs, Attrs attrs, std::vector<TensorType> outputs);
  void output(std::string name, Value value);

  std::deque<Node>& nodes() { return nodes_; }
  const std::deque<Node>& nodes() const { return nodes_; }
  const NamedValues& inputs() const { return inputs_; }
  const NamedValues& outputs() const { return outputs_; }

  /// The module path for nodes that are added from now on.
  const std::string& path() const { return path_; }
  void set_path(std::string path) { path_ = std::move(path); }

 private:
  friend struct Node;
  void release();

  DType float_dtype_;
  std::shared_ptr<GraphAnchor> anchor_;
  std::deque<Node> nodes_;
  NamedValues inputs_, outputs_;
  std::unordered_map<std::string, std::uint32_t> weights_;  // nodes by fingerprint and name
  std::string path_;
};

/// Sets the module path of all nodes that are added during its lifetime. Modules open one in their call
/// operator.
class ONNXPORT_API ModulePath {
 public:
  ModulePath(const Value& any, const std::string& path) : ModulePath(any.graph(), path) {}
  ModulePath(Graph& graph, const std::string& path) : graph_(graph), saved_(graph.path()) {
    graph.set_path(path);
  }
  ~ModulePath() { graph_.set_path(std::move(saved_)); }
  ModulePath(const ModulePath&) = delete;
  ModulePath& operator=(const ModulePath&) = delete;

 private:
  Graph& graph_;
  std::string saved_;
};

/// The graph as text, one node per line: `%7 = linear(%5, encoder.…query.weight, …) : float32[…]`.
ONNXPORT_API std::string print(const Graph& graph);
/// Checks the invariants (order, types of handles, outputs present). Throws ExportError(internal).
ONNXPORT_API void verify(const Graph& graph);

}  // namespace onnxport
