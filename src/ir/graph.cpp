#include "onnxport/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "onnxport/error.h"
#include "onnxport/ops.h"

namespace onnxport {

std::string_view to_string(Op op) {
  static constexpr auto names = std::to_array<std::string_view>({
#define ONNXPORT_LEAF(name) #name,
#define ONNXPORT_PRIMITIVE(name) #name,
#include "onnxport/ops.def"
  });
  return names[static_cast<std::size_t>(op)];
}

std::string to_string(const TensorType& type) {
  return std::string(to_string(type.dtype)) + to_string(type.shape);
}

Node* Value::node() const {
  if (anchor_ == nullptr) return nullptr;
  if (anchor_->graph == nullptr) {
    throw ExportError(ErrorCode::internal,
                      "a value was used after its graph was destroyed; keep the graph as long as its values");
  }
  return &anchor_->graph->nodes()[node_];
}

Graph& Value::graph() const {
  const Node* const node = this->node();
  if (node == nullptr) throw ExportError(ErrorCode::internal, "an absent value was used as an operand");
  return *node->graph;
}

const TensorType& Value::type() const {
  const Node* const node = this->node();
  if (node == nullptr) throw ExportError(ErrorCode::internal, "an absent value was used as an operand");
  return node->outputs[index_];
}

const Dim& Value::dim(std::int64_t axis) const {
  const std::int64_t at = axis < 0 ? axis + rank() : axis;
  if (at < 0 || at >= rank()) {
    throw ExportError(ErrorCode::shape,
                      fmt::format("axis {} is out of range for {}", axis, to_string(type())));
  }
  return shape()[static_cast<std::size_t>(at)];
}

Attrs::Attrs() = default;
Attrs::Attrs(std::initializer_list<std::pair<std::string, Attr>> items) : items_(items) {}
Attrs::Attrs(std::vector<std::pair<std::string, Attr>> items) : items_(std::move(items)) {}
Attrs::Attrs(const Attrs&) = default;
Attrs::Attrs(Attrs&&) noexcept = default;
Attrs& Attrs::operator=(const Attrs&) = default;
Attrs& Attrs::operator=(Attrs&&) noexcept = default;
Attrs::~Attrs() = default;

bool Attrs::has(std::string_view name) const {
  return std::any_of(items_.begin(), items_.end(), [&](const auto& item) { return item.first == name; });
}

const Attr& Attrs::at(std::string_view name) const {
  for (const auto& [key, value] : items_) {
    if (key == name) return value;
  }
  throw ExportError(ErrorCode::internal, fmt::format("the node has no attribute '{}'", name));
}

std::string to_string(const Attr& attr) {
  struct Printer {
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(std::int64_t value) const { return std::to_string(value); }
    std::string operator()(double value) const { return fmt::format("{}", value); }
    std::string operator()(const std::string& value) const { return "\"" + value + "\""; }
    std::string operator()(DType value) const { return std::string(onnxport::to_string(value)); }
    std::string operator()(const std::vector<std::int64_t>& values) const {
      return fmt::format("[{}]", fmt::join(values, ", "));
    }
    std::string operator()(const Shape& shape) const { return onnxport::to_string(shape); }
  };
  return std::visit(Printer{}, attr);
}

Value Node::out(std::uint32_t index) const {
  if (graph == nullptr) {
    throw ExportError(ErrorCode::internal, fmt::format("{} is not part of a graph", to_string(op)));
  }
  return Value(graph->anchor_, id, index);
}

Graph::Graph(DType float_dtype)
    : float_dtype_(float_dtype), anchor_(std::make_shared<GraphAnchor>(GraphAnchor{this})) {}

Graph::Graph(Graph&& other) noexcept : float_dtype_(other.float_dtype_) { *this = std::move(other); }

Graph& Graph::operator=(Graph&& other) noexcept {
  if (this == &other) return *this;
  release();
  float_dtype_ = other.float_dtype_;
  anchor_ = std::move(other.anchor_);
  nodes_ = std::move(other.nodes_);
  inputs_ = std::move(other.inputs_);
  outputs_ = std::move(other.outputs_);
  weights_ = std::move(other.weights_);
  path_ = std::move(other.path_);
  if (anchor_) anchor_->graph = this;
  for (Node& node : nodes_) node.graph = this;
  return *this;
}

Graph::~Graph() { release(); }

void Graph::release() {
  if (anchor_) anchor_->graph = nullptr;
}

Value Graph::input(std::string name, TensorType type) {
  Node& node = add(Op::input, {}, {}, {std::move(type)});
  node.name = std::move(name);
  inputs_.emplace_back(node.name, node.out());
  return node.out();
}

Value Graph::weight(const Weight& weight) {
  const bool keep = !is_float(weight.dtype()) || weight.dtype() == float_dtype_;
  return weight_as_is(keep ? weight : weight.cast(float_dtype_));
}

Value Graph::weight_as_is(const Weight& weight) {
  const auto next = static_cast<std::uint32_t>(nodes_.size());
  const auto [found, is_new] = weights_.try_emplace(weight.name() + "\n" + weight.fingerprint(), next);
  if (is_new) {
    Shape shape(weight.shape().begin(), weight.shape().end());
    add(Op::weight, {}, {}, {{weight.dtype(), std::move(shape)}}).weight = weight;
  }
  return nodes_[found->second].out();
}

Node& Graph::add(Op op, std::vector<Value> inputs, Attrs attrs, std::vector<TensorType> outputs) {
  Node& node = nodes_.emplace_back();
  node.op = op;
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);
  node.outputs = std::move(outputs);
  node.path = path_;
  node.graph = this;
  node.id = static_cast<std::uint32_t>(nodes_.size() - 1);
  return node;
}

void Graph::output(std::string name, Value value) { outputs_.emplace_back(std::move(name), value); }

namespace {

std::string label(const Node& node, std::uint32_t index) {
  if (node.op == Op::input) return node.name;
  if (node.op == Op::weight)
    return node.weight.name().empty() ? fmt::format("%{}", node.id) : node.weight.name();
  return node.outputs.size() == 1 ? fmt::format("%{}", node.id) : fmt::format("%{}.{}", node.id, index);
}

std::string label(const Value& value) { return value ? label(*value.node(), value.index()) : "-"; }

}  // namespace

std::string print(const Graph& graph) {
  std::string text;
  for (const auto& [name, value] : graph.inputs())
    text += fmt::format("input {} : {}\n", name, to_string(value.type()));
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::input) continue;
    if (node.op == Op::weight) {
      text += fmt::format("weight {} : {}\n", label(node, 0), to_string(node.outputs[0]));
      continue;
    }
    std::vector<std::string> operands;
    for (const Value& input : node.inputs) operands.push_back(label(input));
    for (const auto& [key, attr] : node.attrs.items()) operands.push_back(key + "=" + to_string(attr));
    std::vector<std::string> types;
    for (const TensorType& type : node.outputs) types.push_back(to_string(type));
    text += fmt::format("%{} = {}({}) : {}{}\n", node.id, to_string(node.op), fmt::join(operands, ", "),
                        fmt::join(types, ", "), node.path.empty() ? "" : "  # " + node.path);
  }
  for (const auto& [name, value] : graph.outputs()) {
    text += fmt::format("output {} = {} : {}\n", name, label(value), to_string(value.type()));
  }
  return text;
}

void verify(const Graph& graph) {
  const auto broken = [](const std::string& what) {
    throw ExportError(ErrorCode::internal, "graph: " + what);
  };
  std::uint32_t next = 0;
  for (const Node& node : graph.nodes()) {
    if (node.id != next++) broken(fmt::format("node {} has the id {}", next - 1, node.id));
    if (node.graph != &graph) broken(fmt::format("node %{} belongs to another graph", node.id));
    if (node.outputs.empty()) broken(fmt::format("node %{} has no result", node.id));
    for (const Value& input : node.inputs) {
      if (!input) continue;
      if (input.node()->graph != &graph)
        broken(fmt::format("node %{} takes a value of another graph", node.id));
      if (input.node()->id >= node.id)
        broken(fmt::format("node %{} takes %{}, which comes later", node.id, input.node()->id));
      if (input.index() >= input.node()->outputs.size())
        broken(fmt::format("node %{} takes a result that does not exist", node.id));
    }
  }
  if (graph.outputs().empty()) broken("no outputs");
  for (const auto& [name, value] : graph.outputs()) {
    if (!value || value.node()->graph != &graph) broken("output '" + name + "' is not a value of the graph");
  }
}

}  // namespace onnxport
