#include "reference/interpreter.h"

#include <fmt/format.h>

#include <ranges>

#include "onnxport/error.h"
#include "onnxport/ops.h"
#include "reference/bindings.h"
#include "reference/call.h"
#include "reference/rounding.h"
#include "support/cancelled.h"
#include "support/text.h"

namespace onnxport::reference {
namespace {

Results run(const Call& call) {
  switch (call.node.op) {
#define ONNXPORT_LEAF(name) \
  case Op::name:            \
    break;
#define ONNXPORT_PRIMITIVE(name) \
  case Op::name:                 \
    return interpret_##name(call);
#include "onnxport/ops.def"
  }
  throw ExportError(ErrorCode::internal, fmt::format("{} is not a computation", to_string(call.node.op)));
}

HostTensor load(const Weight& weight) {
  HostTensor tensor{weight.dtype(), weight.shape(), {}, {}};
  if (is_float(tensor.dtype)) {
    tensor.reals = weight.to_doubles();
  } else {
    tensor.integers = weight.to_ints();
  }
  return tensor;
}

// Inference and interpretation are written independently and must agree at every node.
void check_inference(const Call& call, const Results& results) {
  const Node& node = call.node;
  const auto disagreement = [&](const std::string& computed, const std::string& inferred) {
    const std::string where = node.path.empty() ? "" : " at " + node.path;
    return ExportError(ErrorCode::internal,
                       fmt::format("{} (%{}){}: computed {}, inferred {}", to_string(node.op), node.id, where,
                                   computed, inferred));
  };
  const auto describe = [](DType dtype, const Extents& shape) {
    return std::string(to_string(dtype)) + text::shape_text(shape);
  };
  if (results.size() != node.outputs.size()) {
    throw disagreement(fmt::format("{} results", results.size()), std::to_string(node.outputs.size()));
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    const TensorType& type = node.outputs[i];
    const Extents inferred = call.evaluate(type.shape);
    if (results[i].dtype == type.dtype && results[i].shape == inferred) continue;
    throw disagreement(describe(results[i].dtype, results[i].shape),
                       fmt::format("{} = {}", to_string(type), describe(type.dtype, inferred)));
  }
}

class Walk {
 public:
  Walk(const Graph& graph, const std::vector<Case>& cases, const OnDecision& on_decision)
      : graph_(graph),
        cases_(cases),
        on_decision_(on_decision),
        uses_(graph.nodes().size()),
        results_(graph.nodes().size()) {
    for (const Case& inputs : cases) bindings_.push_back(bind(graph, inputs));
    for (const auto& [name, value] : graph.outputs()) ++uses_[value.node()->id];
    // From the end to the start, so that nodes used only by unused nodes stay unused.
    for (auto at = graph.nodes().rbegin(); at != graph.nodes().rend(); ++at) {
      const Node& node = *at;
      if (uses_[node.id] == 0) continue;
      for (const Value& input : node.inputs) {
        if (input) ++uses_[input.node()->id];
      }
    }
  }

  std::vector<std::vector<HostTensor>> run_all(const std::function<void(std::size_t, std::size_t)>& on_node) {
    for (const Node& node : graph_.nodes()) {
      check_cancelled();
      if (on_node) on_node(node.id, graph_.nodes().size());
      if (uses_[node.id] == 0 || node.op == Op::weight) continue;
      for (std::size_t c = 0; c < cases_.size(); ++c) results_[node.id].push_back(compute(node, c));
      for (const Value& input : node.inputs) {
        if (input && --uses_[input.node()->id] == 0) results_[input.node()->id] = {};
      }
    }
    std::vector<std::vector<HostTensor>> outputs(cases_.size());
    for (std::size_t c = 0; c < cases_.size(); ++c) {
      for (const auto& [name, value] : graph_.outputs()) outputs[c].push_back(tensor_of(value, c));
    }
    return outputs;
  }

 private:
  Results compute(const Node& node, std::size_t c) {
    if (node.op == Op::input) return to_host(*find(cases_[c], node.name));
    const std::function<const HostTensor&(Value)> operand = [&](Value value) -> const HostTensor& {
      return tensor_of(value, c);
    };
    const std::function<HostTensor(Value)> taken = [&](Value value) -> HostTensor {
      const bool is_last = value.node()->op != Op::weight && uses_[value.node()->id] == 1;
      return is_last ? std::move(results_[value.node()->id][c][value.index()]) : tensor_of(value, c);
    };
    const Call call{node, bindings_[c], operand, taken, on_decision_};
    Results results = run(call);
    // These tell the value of a symbol that no input has.
    if (node.op == Op::tail) {
      const std::string symbol = node.attrs.get<Shape>("shape").at(0).str();
      bindings_[c][symbol] = results[0].shape[call.axis(results[0].shape)];
    } else if (node.op == Op::arange && !node.inputs.empty()) {
      bindings_[c][node.attrs.get<Shape>("range").at(1).str()] = results[0].shape[0];
    } else if (node.op == Op::nonzero) {
      bindings_[c][node.attrs.get<Shape>("shape").at(0).str()] = results[0].shape[0];
    }
    check_inference(call, results);
    for (HostTensor& result : results) limit_range(result);
    return results;
  }

  // A weight serves all cases, and is loaded on first use.
  const HostTensor& tensor_of(Value value, std::size_t c) {
    std::vector<Results>& results = results_[value.node()->id];
    if (value.node()->op != Op::weight) return results[c][value.index()];
    if (results.empty()) results.emplace_back(load(value.node()->weight));
    return results[0][0];
  }

  const Graph& graph_;
  const std::vector<Case>& cases_;
  const OnDecision& on_decision_;
  std::vector<DimBindings> bindings_;          // by case
  std::vector<std::size_t> uses_;              // by node: uses still to come
  std::vector<std::vector<Results>> results_;  // by node, by case; of a weight one for all cases
};

}  // namespace

std::int64_t HostTensor::numel() const { return product(shape); }

HostTensor to_host(const Tensor& tensor) {
  HostTensor host{tensor.dtype, tensor.shape, {}, {}};
  if (is_float(tensor.dtype)) {
    host.reals = tensor.to_doubles();
  } else {
    host.integers = tensor.to_ints();
  }
  return host;
}

Tensor to_tensor(const HostTensor& tensor) {
  return is_float(tensor.dtype) ? Tensor::from_doubles(tensor.dtype, tensor.shape, tensor.reals)
                                : Tensor::from_ints(tensor.dtype, tensor.shape, tensor.integers);
}

std::vector<std::vector<HostTensor>> interpret(
    const Graph& graph, const std::vector<Case>& cases,
    const std::function<void(std::size_t done, std::size_t total)>& on_node, const OnDecision& on_decision) {
  return Walk(graph, cases, on_decision).run_all(on_node);
}

}  // namespace onnxport::reference
