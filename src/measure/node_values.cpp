#include "measure/node_values.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/dtype.h"
#include "onnxport/error.h"
#include "runtime/session.h"
#include "serialize/probe.h"

namespace onnxport::measure {
namespace {

using serialize::NodeFacts;

/// A value of A and its counterpart in B.
struct ValuePair {
  const NodeFacts* node;
  std::string a, b;
  bool by_module = false;  ///< without the same name: perhaps they do not correspond
};

std::vector<ValuePair> pair_values(const PairedNodes& nodes) {
  std::vector<ValuePair> values;
  for (const auto& [i, k] : nodes.pairs) {
    const NodeFacts &a = nodes.a[i], &b = nodes.b[k];
    if (!a.place.empty() || !b.place.empty()) continue;  // ONNX Runtime does not return those
    // If the operators differ, only their first results correspond.
    const std::size_t count = a.op == b.op ? std::min(a.outputs.size(), b.outputs.size()) : 1;
    for (std::size_t at = 0; at < count; ++at) {
      const std::string &x = a.outputs[at].name, &y = b.outputs[at].name;
      if (!x.empty() && !y.empty()) values.push_back({&a, x, y});
    }
  }
  for (const auto& [i, k] : nodes.modules) {
    const NodeFacts &a = nodes.a[i], &b = nodes.b[k];
    if (!a.outputs.empty() && !b.outputs.empty())
      values.push_back({&a, a.outputs.front().name, b.outputs.front().name, true});
  }
  // In the order of A: a run computes no nodes behind the last of its values.
  std::ranges::stable_sort(values, {}, &ValuePair::node);
  return values;
}

/// One of the files, of which values inside can be computed.
class Inside {
 public:
  Inside(const FileRun& run, int threads) : run_(run), threads_(threads), probe_(run.file) {}

  NamedTensors values(const std::vector<std::string>& names) const {
    const runtime::Session session(probe_.with_outputs(names), run_.file.parent_path(),
                                   {.intra_op_threads = threads_, .optimize = false});
    return session.run(run_.inputs, names);
  }

 private:
  const FileRun& run_;
  int threads_;
  serialize::Probe probe_;
};

std::size_t bytes_of(const NamedTensors& tensors) {
  std::size_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += tensor.data.size();
  return bytes;
}

/// Compares the values, some at a time.
class Comparison {
 public:
  Comparison(const FileRun& a, const FileRun& b, const DiffOptions& options, double atol)
      : a_(a, options.threads), b_(b, options.threads), non_finite_(options.non_finite), atol_(atol) {}

  void run(const std::vector<ValuePair>& pairs, NodesDiff& diff) const {
    constexpr std::size_t kFirst = 8, kGrowth = 4;
    std::size_t count = kFirst;
    for (std::size_t at = 0; at < pairs.size();) {
      count = std::clamp<std::size_t>(count, 1, pairs.size() - at);
      const std::span<const ValuePair> some(pairs.data() + at, count);
      std::size_t bytes = 0;
      try {
        bytes = compare(some, diff);
      } catch (const ExportError& error) {
        if (error.code() != ErrorCode::runtime) throw;
        // One of the values is of a type that has no tensor here. Which one?
        at += count == 1 ? 1 : 0;
        diff.not_compared += count == 1 ? 1 : 0;
        count /= 2;
        continue;
      }
      at += count;
      count = std::min(kGrowth * count, kValueBytes / std::max<std::size_t>(bytes / count, 1));
    }
  }

 private:
  /// Returns the bytes of the values.
  std::size_t compare(std::span<const ValuePair> pairs, NodesDiff& diff) const {
    std::vector<std::string> names_a, names_b;
    for (const ValuePair& pair : pairs) {
      names_a.push_back(pair.a);
      names_b.push_back(pair.b);
    }
    const NamedTensors expected = a_.values(names_a);
    NamedTensors got = b_.values(names_b);
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      if (is_float(got[i].second.dtype) != is_float(expected[i].second.dtype)) {  // those of a quantized file
        ++diff.not_compared;
        continue;
      }
      if (pairs[i].by_module && got[i].second.numel() != expected[i].second.numel()) continue;
      NodeValue& value = diff.values.emplace_back();
      value.node = pairs[i].node->name.empty() ? pairs[i].a : pairs[i].node->name;
      value.op = pairs[i].node->op;
      // Exporters put the same numbers into other shapes, such as rows of all texts into one matrix.
      if (got[i].second.numel() == expected[i].second.numel()) got[i].second.shape = expected[i].second.shape;
      value.comparison = compare_outputs(pairs[i].a, got[i].second, expected[i].second, atol_, non_finite_);
      // The tolerance is that part of the largest value.
      const double tolerance = value.comparison.tolerance;
      const double largest = atol_ > 0 && tolerance > 0 ? tolerance / atol_ : 1;
      value.part = value.comparison.max_difference / largest;
    }
    return bytes_of(expected) + bytes_of(got);
  }

  Inside a_, b_;
  NonFinite non_finite_;
  double atol_;
};

/// Finds where differences come from, and which of them an output shows.
void trace(const std::vector<NodeFacts>& nodes, const ValidationCase& outputs, NodesDiff& diff) {
  struct State {
    double part = 0;
    bool agrees = true;
  };
  std::map<std::string, NodeValue*> compared;
  for (NodeValue& value : diff.values) compared.emplace(value.comparison.name, &value);
  std::map<std::string, State> states;
  for (const NodeFacts& node : nodes) {
    if (!node.place.empty()) continue;
    State before;
    for (const std::string& input : node.inputs) {
      const auto found = states.find(input);
      if (found == states.end()) continue;  // an input of the file, or a weight
      before.part = std::max(before.part, found->second.part);
      before.agrees = before.agrees && found->second.agrees;
    }
    for (const ValueSummary& output : node.outputs) {
      State& state = states[output.name] = before;
      const auto found = compared.find(output.name);
      if (found == compared.end()) continue;
      NodeValue& value = *found->second;
      value.part_before = before.part;
      value.begins = !value.comparison.passed && before.agrees;
      const bool comparable = value.comparison.shape == value.comparison.reference_shape;
      state = {comparable ? value.part : before.part, value.comparison.passed};
    }
  }
  std::set<std::string> reaching;
  for (const OutputComparison& output : outputs.outputs) {
    if (!output.passed) reaching.insert(output.name);
  }
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    if (!node->place.empty()) continue;
    bool reaches = false;
    for (const ValueSummary& output : node->outputs) {
      if (!reaching.contains(output.name)) continue;
      const auto found = compared.find(output.name);
      if (found != compared.end()) found->second->reaches_output = !found->second->comparison.passed;
      reaches = reaches || found == compared.end() || found->second->reaches_output;
    }
    if (reaches) reaching.insert(node->inputs.begin(), node->inputs.end());
  }
}

}  // namespace

void compare_node_values(const PairedNodes& nodes, const FileRun& a, const FileRun& b,
                         const ValidationCase& outputs, const DiffOptions& options, FileDiff& diff) {
  diff.nodes.case_name = outputs.name;
  Comparison(a, b, options, diff.atol).run(pair_values(nodes), diff.nodes);
  trace(nodes.a, outputs, diff.nodes);
}

}  // namespace onnxport::measure
