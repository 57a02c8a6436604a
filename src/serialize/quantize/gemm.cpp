#include "serialize/quantize/gemm.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "serialize/quantize/nodes.h"

namespace onnxport::serialize {
namespace {

float float_attribute(const onnx::NodeProto& node, const std::string& name, float otherwise) {
  const onnx::AttributeProto* attribute = find_attribute(node, name);
  return attribute == nullptr ? otherwise : attribute->f();
}

bool becomes_matmul(const onnx::NodeProto& node) {
  return node.op_type() == "Gemm" && is_standard(node) && node.input_size() >= 2 && node.output_size() == 1 &&
         float_attribute(node, "alpha", 1) == 1 && float_attribute(node, "beta", 1) == 1 &&
         int_attribute(node, "transA", 0) == 0;
}

bool transposes(const onnx::NodeProto& node) { return int_attribute(node, "transB", 0) != 0; }

class Replacement {
 public:
  explicit Replacement(LazyModel& model) : model_(model) {}

  void run() {
    count(model_.graph);
    replace(model_.graph);
  }

 private:
  /// How nodes read a constant.
  struct Uses {
    int all = 0;
    int transposed = 0;             ///< as a transposed B of a Gemm that is replaced
    std::string transposed_name{};  ///< of the constant that these nodes read instead
  };
  using Key = std::pair<const onnx::GraphProto*, std::string>;

  struct Scope {
    onnx::GraphProto* graph;
    std::unordered_set<std::string> constants;
  };

  void count(onnx::GraphProto& graph) {
    Scope& scope = path_.emplace_back(Scope{&graph, {}});
    for (const onnx::TensorProto& tensor : graph.initializer()) scope.constants.insert(tensor.name());
    const auto add = [&](const std::string& name, bool transposed) {
      const auto owner = std::find_if(path_.rbegin(), path_.rend(),
                                      [&](const Scope& one) { return one.constants.contains(name); });
      if (owner == path_.rend()) return;
      Uses& uses = uses_[{owner->graph, name}];
      ++uses.all;
      if (transposed) ++uses.transposed;
    };
    for (onnx::NodeProto& node : *graph.mutable_node()) {
      for (int i = 0; i < node.input_size(); ++i)
        add(node.input(i), i == 1 && becomes_matmul(node) && transposes(node));
      for_each_inner(node, [&](onnx::GraphProto& inner) { count(inner); });
    }
    for (const onnx::ValueInfoProto& output : graph.output()) add(output.name(), false);
    path_.pop_back();
  }

  void replace(onnx::GraphProto& graph) {
    path_.push_back({&graph, {}});
    google::protobuf::RepeatedPtrField<onnx::NodeProto> nodes;
    nodes.Swap(graph.mutable_node());
    for (onnx::NodeProto& node : nodes) {
      for_each_inner(node, [&](onnx::GraphProto& inner) { replace(inner); });
      if (becomes_matmul(node)) {
        replace(node, graph);
      } else {
        graph.add_node()->Swap(&node);
      }
    }
    path_.pop_back();
  }

  void replace(const onnx::NodeProto& node, onnx::GraphProto& graph) {
    const auto name = [&](const char* part) { return node.name().empty() ? "" : node.name() + part; };
    std::string b = node.input(1);
    if (transposes(node)) {
      if (const auto stored = transposed_constant(b)) {
        b = *stored;
      } else {
        b += "_Transposed";
        *graph.add_node() = make_node("Transpose", name("_Transpose"), {node.input(1)}, {b});
      }
    }
    const std::string c = input_of(node, 2), product = node.output(0) + (c.empty() ? "" : "_MatMul");
    *graph.add_node() = make_node("MatMul", name("_MatMul"), {node.input(0), b}, {product});
    if (!c.empty()) *graph.add_node() = make_node("Add", name("_Add"), {product, c}, {node.output(0)});
  }

  /// The name under which a constant is stored the other way round.
  std::optional<std::string> transposed_constant(const std::string& name) {
    const auto scope = std::find_if(path_.rbegin(), path_.rend(),
                                    [&](const Scope& one) { return uses_.contains({one.graph, name}); });
    if (scope == path_.rend()) return std::nullopt;
    onnx::GraphProto& owner = *scope->graph;
    Uses& uses = uses_.at({&owner, name});
    if (!uses.transposed_name.empty()) return uses.transposed_name;
    auto& tensors = *owner.mutable_initializer();
    onnx::TensorProto& tensor =
        *std::ranges::find_if(tensors, [&](const auto& one) { return one.name() == name; });
    const Weight weight = weight_of(model_, tensor);
    if (!weight || weight.shape().size() != 2) return std::nullopt;
    const bool alone = uses.all == uses.transposed;
    uses.transposed_name = alone ? name : name + "_Transposed";
    const Weight turned = weight.permute({1, 0}).named(uses.transposed_name);
    onnx::TensorProto made = make_tensor(model_, uses.transposed_name, turned);
    if (!alone) {
      *owner.add_initializer() = std::move(made);
      return uses.transposed_name;
    }
    tensor = std::move(made);
    auto& inputs = *owner.mutable_input();  // a value given by the caller would be the other way round
    inputs.erase(std::remove_if(inputs.begin(), inputs.end(),
                                [&](const onnx::ValueInfoProto& input) { return input.name() == name; }),
                 inputs.end());
    return uses.transposed_name;
  }

  LazyModel& model_;
  std::vector<Scope> path_;  ///< from the main graph inwards
  std::map<Key, Uses> uses_;
};

}  // namespace

void replace_gemm(LazyModel& model) { Replacement(model).run(); }

}  // namespace onnxport::serialize
