#include "onnx/refer_to_checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <numeric>
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
    take(graph.nodes);
  }

  void run() {
    const std::vector<OnnxInitializer> all = std::exchange(graph_.initializers, {});
    std::vector<const OnnxInitializer*> made;
    for (const OnnxInitializer& initializer : all) {
      const std::int64_t bytes =
          initializer.weight.numel() * static_cast<std::int64_t>(size_of(initializer.weight.dtype()));
      if (initializer.packed) {  // no node makes these types, nor takes them for others
        graph_.initializers.push_back(initializer);
      } else if (initializer.weight.view() == nullptr && bytes >= smallest_ &&
                 is_reachable(initializer.weight)) {
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
  void take(const std::vector<OnnxNode>& nodes) {
    for (const OnnxNode& node : nodes) {
      taken_.insert(node.outputs.begin(), node.outputs.end());
      taken_.insert(node.name);
      for (const auto& inner : graphs_of(node)) {
        for (const OnnxValueInfo& input : inner->inputs) taken_.insert(input.name);
        take(inner->nodes);
      }
    }
  }

  // The weights that are one step before this one; none if there is no such step, or ONNX has no node for it.
  std::vector<Weight> before(const Weight& weight) const {
    std::vector<Weight> inputs = parts_of(weight);
    if (!inputs.empty()) {
      std::vector<std::int64_t> shape = inputs.front().shape();
      shape[0] = std::accumulate(inputs.begin(), inputs.end(), std::int64_t{0},
                                 [](std::int64_t sum, const Weight& part) { return sum + part.shape()[0]; });
      if (shape != weight.shape()) inputs = {weight.reshape(shape)};
    }
    if (const Weight input = cast_of(weight)) {
      inputs = {input};
    } else if (const Weight matrix = weight.transpose_of()) {
      inputs = {matrix};
    }
    const bool narrow =
        weight.dtype() == DType::bf16 || (!inputs.empty() && inputs.front().dtype() == DType::bf16);
    if (narrow && opset_ < kFirstWithBfloat16) inputs.clear();
    return inputs;
  }

  bool is_reachable(const Weight& weight) const {
    if (weight.view() != nullptr) return true;
    const std::vector<Weight> inputs = before(weight);
    return !inputs.empty() && std::all_of(inputs.begin(), inputs.end(),
                                          [&](const Weight& input) { return is_reachable(input); });
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
    const std::vector<Weight> inputs = weight.view() != nullptr ? std::vector<Weight>() : before(weight);
    if (inputs.empty()) {
      graph_.initializers.push_back({name, weight});
      return name;
    }
    std::vector<std::string> made;
    for (const Weight& input : inputs) made.push_back(make(input));
    if (cast_of(weight)) {
      add("Cast", std::move(made), name, {{"to", element_type(weight.dtype())}});
    } else if (weight.transpose_of()) {
      add("Transpose", std::move(made), name, {{"perm", std::vector<std::int64_t>{1, 0}}});
    } else if (inputs.size() == 1) {
      reshape(weight, made[0], name);
    } else {
      add("Concat", std::move(made), name, {{"axis", std::int64_t{0}}});
    }
    return name;
  }

  void reshape(const Weight& weight, std::string input, const std::string& name) {
    const std::vector<std::int64_t>& shape = weight.shape();
    const auto rank = static_cast<std::int64_t>(shape.size());
    const std::string text = fmt::format("shape_{}", fmt::join(shape, "_"));
    std::string target = make(Weight::from_ints({rank}, shape, DType::i64, text));
    add("Reshape", {std::move(input), std::move(target)}, name, {});
  }

  void add(const char* op_type, std::vector<std::string> inputs, const std::string& output, OnnxAttrs attrs) {
    const std::string name = unique(fmt::format("{}/{}", output, op_type));
    nodes_.push_back({op_type, {}, name, std::move(inputs), {output}, std::move(attrs)});
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
