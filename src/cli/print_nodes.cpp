// The nodes in the reports of `diff`.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cli/diff.h"
#include "cli/diff_parts.h"
#include "cli/output.h"
#include "support/text.h"

namespace onnxport::cli {
namespace {

std::string difference_of(const NodeValue& value) {
  return fmt::format("{} ({}): {}", value.node, value.op, difference_text(value.comparison));
}

std::string change_of(const NodeDiff& one) {
  std::vector<std::string> changes;
  if (one.op_a != one.op_b) changes.push_back(fmt::format("{} -> {}", one.op_a, one.op_b));
  for (const TextDiff& attribute : one.attributes)
    changes.push_back(fmt::format("{} {} -> {}", attribute.name, side(attribute.a), side(attribute.b)));
  for (const TextDiff& result : one.results) changes.push_back(fmt::format("{} -> {}", result.a, result.b));
  return fmt::format("{}: {}", one.a, text::join(changes));
}

/// The difference that a node adds to those of its inputs.
double added(const NodeValue& value) {
  return std::sqrt(std::max(0.0, value.part * value.part - value.part_before * value.part_before));
}

/// The nodes that add most to the difference.
std::vector<NodeValue> most_added(const std::vector<NodeValue>& values) {
  constexpr std::size_t kMost = 5;
  constexpr double kRounding = 1e-6;
  std::vector<NodeValue> most;
  std::ranges::copy_if(values, std::back_inserter(most),
                       [](const NodeValue& value) { return added(value) > kRounding; });
  std::ranges::stable_sort(most, std::ranges::greater{}, added);
  if (most.size() > kMost) most.resize(kMost);
  return most;
}

void print_values(const NodesDiff& nodes, bool outputs_differ, bool verbose) {
  if (nodes.case_name.empty()) return;
  std::vector<NodeValue> differing, begin;
  for (const NodeValue& value : nodes.values) {
    if (value.comparison.passed) continue;
    differing.push_back(value);
    if (value.begins) begin.push_back(value);
  }
  // Those that reach an output come first.
  std::stable_partition(begin.begin(), begin.end(),
                        [](const NodeValue& value) { return value.reaches_output; });
  say(fmt::format("values of these nodes ({}): {} compared, {} agree", nodes.case_name, nodes.values.size(),
                  nodes.values.size() - differing.size()));
  if (nodes.not_compared > 0)
    say(fmt::format("  {} are no tensors, or floats in only one file", nodes.not_compared));
  if (differing.empty() && outputs_differ && !nodes.values.empty())
    say("  the difference comes from nodes between these, or from ONNX Runtime's optimizations, which are "
        "off "
        "here");
  if (!begin.empty()) {
    say(fmt::format("  they part at {}", difference_of(begin.front())));
    if (!begin.front().reaches_output && outputs_differ) say("    but values agree again before the outputs");
    print_list("and also at", std::vector(begin.begin() + 1, begin.end()), verbose, difference_of);
  }
  if (differing.empty()) return;
  print_list("nodes that add most, as a part of the largest value", most_added(nodes.values), verbose,
             [](const NodeValue& value) {
               return fmt::format("{} ({}): {:.3g}, before it {:.3g}", value.node, value.op, value.part,
                                  value.part_before);
             });
  if (verbose) print_list("all that differ", differing, verbose, difference_of);
}

}  // namespace

void print_nodes(const FileDiff& diff, bool verbose) {
  const NodesDiff& nodes = diff.nodes;
  say(fmt::format(
      "nodes of the same name: {} of {} in A and {} in B, without constants{}", nodes.same_name,
      nodes.count_a, nodes.count_b,
      nodes.same_module == 0 ? "" : fmt::format("; also the results of {} modules", nodes.same_module)));
  print_list("that are not the same", nodes.differing, verbose, change_of);
  print_values(nodes, diff.first_failed() != nullptr, verbose);
}

json describe(const NodesDiff& nodes) {
  json report = {{"a", nodes.count_a},
                 {"b", nodes.count_b},
                 {"same_name", nodes.same_name},
                 {"same_module", nodes.same_module}};
  report["differing"] = json::array();
  for (const NodeDiff& one : nodes.differing) {
    report["differing"].push_back({{"a", one.a},
                                   {"b", one.b},
                                   {"op", {one.op_a, one.op_b}},
                                   {"attributes", describe(one.attributes)},
                                   {"results", describe(one.results)}});
  }
  if (nodes.case_name.empty()) return report;
  report["case"] = nodes.case_name;
  report["not_compared"] = nodes.not_compared;
  report["values"] = json::array();
  for (const NodeValue& value : nodes.values) {
    const OutputComparison& one = value.comparison;
    report["values"].push_back({{"node", value.node},
                                {"op", value.op},
                                {"value", one.name},
                                {"shape_a", one.reference_shape},
                                {"shape_b", one.shape},
                                {"max_difference", one.max_difference},
                                {"tolerance", one.tolerance},
                                {"passed", one.passed},
                                {"part", value.part},
                                {"part_before", value.part_before},
                                {"begins", value.begins},
                                {"reaches_output", value.reaches_output}});
  }
  return report;
}

}  // namespace onnxport::cli
