#include "onnx/refer_to_checkpoint.h"

#include <fmt/format.h>

#include <iterator>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/weight_steps.h"
#include "onnx/element_type.h"

namespace onnxport {
namespace {

constexpr int kFirstWithBfloat16 = 13;

class Referrer {
 public:
  Referrer(OnnxGraph& graph, std::int64_t smallest)
      : graph_(graph), smallest_(smallest), opset_(graph.opsets.at("")) {
    for (const OnnxValueInfo& value : graph.inputs) taken_.insert(value.name);
    for (const OnnxValueInfo& value : graph.outputs) taken_.insert(value.name);
    for (const OnnxInitializer& initializer : graph.initializers) taken_.insert(initializer.name);
    for (const OnnxNode& node : graph.nodes) {
      taken_.insert(node.outputs.begin(), node.outputs.end());
      taken_.insert(node.name);
    }
  }

  void run() {
    const std::vector<OnnxInitializer> all = std::exchange(graph_.initializers, {});
    std::vector<const OnnxInitializer*> made;
    for (const OnnxInitializer& initializer : all) {
      const std::int64_t bytes =
          initializer.weight.numel() * static_cast<std::int64_t>(size_of(initializer.weight.dtype()));
      if (initializer.weight.view() == nullptr && bytes >= smallest_ && is_reachable(initializer.weight)) {
        made.push_back(&initializer);
      } else {
        keep(initializer.name, initializer.weight);
      }
    }
    // Names that the graph uses come first, because a weight may also be a step towards another one.
    for (const OnnxInitializer* initializer : made)
      names_[initializer->weight.fingerprint()] = initializer->name;
    for (const OnnxInitializer* initializer : made) make(initializer->weight);
    nodes_.insert(nodes_.end(), std::make_move_iterator(graph_.nodes.begin()),
                  std::make_move_iterator(graph_.nodes.end()));
    graph_.nodes = std::move(nodes_);
  }

 private:
  // The weight that is one step before this one; empty if there is none, or if ONNX has no node for the step.
  Weight before(const Weight& weight) const {
    if (const Weight input = cast_of(weight)) {
      const bool narrow = weight.dtype() == DType::bf16 || input.dtype() == DType::bf16;
      return narrow && opset_ < kFirstWithBfloat16 ? Weight() : input;
    }
    return weight.transpose_of();
  }

  bool is_reachable(const Weight& weight) const {
    if (weight.view() != nullptr) return true;
    const Weight input = before(weight);
    return input && is_reachable(input);
  }

  void keep(const std::string& name, const Weight& weight) {
    graph_.initializers.push_back({name, weight});
    names_.emplace(weight.fingerprint(), name);
    done_.insert(weight.fingerprint());
  }

  // The name of the weight, after the nodes that make it.
  std::string make(const Weight& weight) {
    const auto [found, is_new] = names_.try_emplace(weight.fingerprint());
    if (is_new) found->second = unique(weight.name());
    const std::string name = found->second;
    if (!done_.insert(weight.fingerprint()).second) return name;
    if (weight.view() != nullptr) {
      graph_.initializers.push_back({name, weight});
      return name;
    }
    const std::string input = make(before(weight));
    if (cast_of(weight)) {
      add("Cast", input, name, {{"to", element_type(weight.dtype())}});
    } else {
      add("Transpose", input, name, {{"perm", std::vector<std::int64_t>{1, 0}}});
    }
    return name;
  }

  void add(const char* op_type, const std::string& input, const std::string& output, OnnxAttrs attrs) {
    const std::string name = unique(fmt::format("{}/{}", output, op_type));
    nodes_.push_back({op_type, {}, name, {input}, {output}, std::move(attrs)});
  }

  std::string unique(const std::string& base) {
    std::string name = base;
    for (int i = 1; !taken_.insert(name).second; ++i) name = fmt::format("{}_{}", base, i);
    return name;
  }

  OnnxGraph& graph_;
  std::int64_t smallest_;
  int opset_;
  std::vector<OnnxNode> nodes_;
  std::set<std::string> taken_;
  std::unordered_map<std::string, std::string> names_;  // by fingerprint
  std::set<std::string> done_;                          // fingerprints of what has its initializer or node
};

}  // namespace

void refer_to_checkpoint(OnnxGraph& graph, std::int64_t smallest) { Referrer(graph, smallest).run(); }

}  // namespace onnxport
