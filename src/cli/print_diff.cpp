// The reports of `diff`.
#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "cli/diff.h"
#include "cli/diff_parts.h"
#include "cli/output.h"
#include "support/text.h"

namespace onnxport::cli {
namespace {

void print_weights(const WeightsDiff& weights, bool verbose) {
  say(fmt::format("weights: {} tensors, {} in A; {} tensors, {} in B; {} are the same", weights.count_a,
                  text::human_bytes(weights.bytes_a), weights.count_b, text::human_bytes(weights.bytes_b),
                  weights.same));
  const auto names = [](const TextDiff& one) { return fmt::format("{} -> {}", one.a, one.b); };
  print_list("the same under another name", weights.renamed, verbose, names);
  print_list("the same, transposed", weights.transposed, verbose, names);
  print_list("changed", weights.changed, verbose, [](const WeightDiff& one) {
    const std::string types = one.type_a == one.type_b ? one.type_a : one.type_a + " -> " + one.type_b;
    return fmt::format("{}: {}, max difference {:.3g}", one.a, types, one.max_difference);
  });
  print_list("only in A", weights.only_a, verbose,
             [](const WeightDiff& one) { return fmt::format("{}: {}", one.a, one.type_a); });
  print_list("only in B", weights.only_b, verbose,
             [](const WeightDiff& one) { return fmt::format("{}: {}", one.b, one.type_b); });
  if (weights.small_a + weights.small_b > 0) {
    say(fmt::format("  small constants that only one file has: {} in A, {} in B", weights.small_a,
                    weights.small_b));
  }
}

void print_numbers(const FileDiff& diff) {
  if (diff.cases.empty()) return;
  say(fmt::format("outputs of B against those of A (atol {:g})", diff.atol));
  for (const ValidationCase& one : diff.cases) {
    say("  " + one.name);
    for (const OutputComparison& output : one.outputs) {
      const bool same_shape = output.shape == output.reference_shape;
      say(fmt::format("    [{}] {}{}: {}", output.passed ? "✓" : "x", output.name,
                      same_shape ? " " + text::shape_text(output.shape) : "", difference_text(output)));
    }
  }
  for (const Drift& one : diff.drift) {
    say(fmt::format(
        "  {}: mean difference {:.3g}, cosine {:.8f}{}", one.output, one.mean_difference, one.cosine,
        one.agreement ? fmt::format(", the same largest value in {:.1f} % of the rows", 100 * *one.agreement)
                      : ""));
  }
}

json describe(const BenchResult& one) {
  return {{"p50", one.latency.p50},
          {"p90", one.latency.p90},
          {"p99", one.latency.p99},
          {"mean", one.latency.mean},
          {"runs", one.runs},
          {"load_seconds", one.load_seconds},
          {"peak_memory_bytes", one.peak_memory}};
}

json names_of(const std::vector<TextDiff>& list) {
  json all = json::array();
  for (const TextDiff& one : list) all.push_back({{"a", one.a}, {"b", one.b}});
  return all;
}

json describe(const std::vector<WeightDiff>& list) {
  json all = json::array();
  for (const WeightDiff& one : list) {
    json entry = {{"name", one.a.empty() ? one.b : one.a}};
    if (!one.a.empty()) entry["type_a"] = one.type_a;
    if (!one.b.empty()) entry["type_b"] = one.type_b;
    entry["bytes"] = one.bytes;
    if (!one.a.empty() && !one.b.empty()) entry["max_difference"] = one.max_difference;
    all.push_back(std::move(entry));
  }
  return all;
}

json describe(const WeightsDiff& weights) {
  return {{"tensors_a", weights.count_a},
          {"tensors_b", weights.count_b},
          {"bytes_a", weights.bytes_a},
          {"bytes_b", weights.bytes_b},
          {"same", weights.same},
          {"renamed", names_of(weights.renamed)},
          {"transposed", names_of(weights.transposed)},
          {"changed", describe(weights.changed)},
          {"only_a", describe(weights.only_a)},
          {"only_b", describe(weights.only_b)},
          {"small_only_a", weights.small_a},
          {"small_only_b", weights.small_b}};
}

}  // namespace

void print_diff(const FileDiff& diff, bool verbose) {
  say(fmt::format("A {}\nB {}", diff.a.string(), diff.b.string()));
  for (const ValueDiff& one : diff.values) {
    say(fmt::format("{} {}: {} -> {}{}", one.output ? "output" : "input", one.name, side(one.a), side(one.b),
                    one.only_axis_names ? " (only names of axes)" : ""));
  }
  for (const TextDiff& one : diff.opsets)
    say(fmt::format("opset {}: {} -> {}", one.name, side(one.a), side(one.b)));
  std::size_t nodes_a = 0, nodes_b = 0;
  std::vector<CountDiff> changed;
  for (const CountDiff& one : diff.ops) {
    nodes_a += one.a;
    nodes_b += one.b;
    if (one.a != one.b) changed.push_back(one);
  }
  say(fmt::format("nodes: {} in A, {} in B", nodes_a, nodes_b));
  print_list("operators with other counts", changed, verbose,
             [](const CountDiff& one) { return fmt::format("{}: {} -> {}", one.name, one.a, one.b); });
  print_weights(diff.weights, verbose);
  print_numbers(diff);
  print_nodes(diff, verbose);
  if (diff.time_a && diff.time_b) {
    const Latency &a = diff.time_a->latency, &b = diff.time_b->latency;
    say(fmt::format("latency p50: {} -> {} ({:.2f} times), p90: {} -> {}", time_text(a.p50), time_text(b.p50),
                    b.p50 / a.p50, time_text(a.p90), time_text(b.p90)));
  }
}

json describe(const FileDiff& diff) {
  json report = {{"a", diff.a.string()},
                 {"b", diff.b.string()},
                 {"interchangeable", diff.interchangeable()},
                 {"identical", diff.identical()}};
  report["interface"] = json::array();
  for (const ValueDiff& one : diff.values) {
    report["interface"].push_back({{"kind", one.output ? "output" : "input"},
                                   {"name", one.name},
                                   {"a", one.a},
                                   {"b", one.b},
                                   {"only_axis_names", one.only_axis_names}});
  }
  report["opsets"] = describe(diff.opsets);
  report["ops"] = json::object();
  for (const CountDiff& one : diff.ops) report["ops"][one.name] = {one.a, one.b};
  report["weights"] = describe(diff.weights);
  report["nodes"] = describe(diff.nodes);
  if (!diff.run_error.empty()) report["error"] = diff.run_error;
  if (!diff.cases.empty()) report["atol"] = diff.atol;
  report["cases"] = json::array();
  for (const ValidationCase& one : diff.cases) {
    json outputs = json::array();
    for (const OutputComparison& output : one.outputs) {
      outputs.push_back({{"name", output.name},
                         {"shape_a", output.reference_shape},
                         {"shape_b", output.shape},
                         {"max_difference", output.max_difference},
                         {"tolerance", output.tolerance},
                         {"passed", output.passed}});
    }
    report["cases"].push_back({{"name", one.name}, {"outputs", outputs}});
  }
  for (const Drift& one : diff.drift) {
    json& drift = report["drift"][one.output];
    drift = {{"mean_difference", one.mean_difference}, {"cosine", one.cosine}};
    if (one.agreement) drift["agreement"] = *one.agreement;
  }
  if (diff.time_a) report["time_a"] = describe(*diff.time_a);
  if (diff.time_b) report["time_b"] = describe(*diff.time_b);
  return report;
}

}  // namespace onnxport::cli
