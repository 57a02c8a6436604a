#include "onnxport/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "measure/axes.h"
#include "measure/diff_numbers.h"
#include "measure/node_pairs.h"
#include "measure/value_types.h"
#include "onnxport/inspect.h"
#include "runtime/session.h"
#include "support/fail.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using measure::same_to_clients;
using measure::type_of;

void compare_values(const std::vector<ValueSummary>& a, const std::vector<ValueSummary>& b, bool output,
                    std::vector<ValueDiff>& diffs) {
  for (const ValueSummary& value : a) {
    const auto other = std::ranges::find(b, value.name, &ValueSummary::name);
    if (other == b.end()) {
      diffs.push_back({value.name, type_of(value), "", output});
    } else if (type_of(value) != type_of(*other)) {
      diffs.push_back({value.name, type_of(value), type_of(*other), output, same_to_clients(value, *other)});
    }
  }
  for (const ValueSummary& value : b) {
    if (std::ranges::find(a, value.name, &ValueSummary::name) == a.end())
      diffs.push_back({value.name, "", type_of(value), output});
  }
}

void count_ops(const GraphSummary& graph, std::map<std::string, CountDiff>& ops,
               std::size_t CountDiff::* side) {
  for (const NodeSummary& node : graph.nodes) {
    const bool standard = node.domain.empty() || node.domain == "ai.onnx";
    ++(ops[standard ? node.op_type : node.domain + "." + node.op_type].*side);
    for (const SubgraphSummary& inner : node.graphs) count_ops(inner.graph, ops, side);
  }
}

std::vector<CountDiff> compare_ops(const ModelSummary& a, const ModelSummary& b) {
  std::map<std::string, CountDiff> ops;
  count_ops(a.graph, ops, &CountDiff::a);
  count_ops(b.graph, ops, &CountDiff::b);
  std::vector<CountDiff> counts;
  for (auto& [name, count] : ops) counts.push_back({name, count.a, count.b});
  std::ranges::stable_sort(
      counts, [](const CountDiff& x, const CountDiff& y) { return std::max(x.a, x.b) > std::max(y.a, y.b); });
  return counts;
}

std::vector<TextDiff> compare_opsets(const ModelSummary& a, const ModelSummary& b) {
  std::map<std::string, TextDiff> opsets;
  const auto add = [&](const ModelSummary& model, std::string TextDiff::* side) {
    for (const auto& [domain, version] : model.opsets) {
      const std::string name = domain.empty() ? "ai.onnx" : domain;
      opsets[name].name = name;
      opsets[name].*side = fmt::format("{}", version);
    }
  };
  add(a, &TextDiff::a);
  add(b, &TextDiff::b);
  std::vector<TextDiff> diffs;
  for (auto& [name, diff] : opsets) {
    if (diff.a != diff.b) diffs.push_back(std::move(diff));
  }
  return diffs;
}

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".onnx")
      files.push_back(fs::relative(entry.path(), folder));
  }
  if (files.empty()) fail(ErrorCode::io, "{} has no .onnx file", folder.string());
  std::ranges::sort(files);
  return files;
}

}  // namespace

bool FileDiff::interchangeable() const {
  const bool same_interface =
      std::ranges::all_of(values, [](const ValueDiff& one) { return one.only_axis_names; });
  if (!same_interface || !run_error.empty()) return false;
  if (cases.empty()) return weights.same_values();
  return first_failed() == nullptr;
}

const ValidationCase* FileDiff::first_failed() const {
  const auto failed = std::ranges::find_if_not(cases, [](const ValidationCase& one) {
    return std::ranges::all_of(one.outputs, &OutputComparison::passed);
  });
  return failed == cases.end() ? nullptr : &*failed;
}

bool FileDiff::identical() const {
  return interchangeable() && values.empty() && opsets.empty() && weights.same_values() &&
         weights.renamed.empty() && weights.transposed.empty() && weights.small_a == 0 &&
         weights.small_b == 0 && nodes.differing.empty() &&
         std::ranges::all_of(ops, [](const CountDiff& one) { return one.a == one.b; });
}

FileDiff diff_files(const fs::path& a, const fs::path& b, const DiffOptions& options) {
  FileDiff diff;
  diff.a = a;
  diff.b = b;
  const ModelSummary first = summarize(a), second = summarize(b);
  compare_values(measure::given_inputs(first.graph), measure::given_inputs(second.graph), false, diff.values);
  compare_values(first.graph.outputs, second.graph.outputs, true, diff.values);
  diff.opsets = compare_opsets(first, second);
  diff.ops = compare_ops(first, second);
  diff.weights = diff_weights(a, b);
  const measure::PairedNodes nodes = measure::pair_nodes(a, b);
  diff.nodes = measure::compare_nodes(nodes);
  if (options.run || options.time) runtime::version();  // a missing library is no fault of a file
  DiffOptions how = options;
  if (measure::takes_one_row(first) || measure::takes_one_row(second)) how.sizes.try_emplace("batch_size", 1);
  const auto run = [&](auto&& action) {
    try {
      action();
    } catch (const ExportError& error) {
      if (diff.run_error.empty()) diff.run_error = error.what();
    }
  };
  if (options.run) run([&] { measure::compare_numbers(first, second, nodes, how, diff); });
  if (options.time) {
    const BenchOptions timing{.sizes = how.sizes, .threads = how.threads, .seconds = how.seconds};
    run([&] { diff.time_a = bench_file(a, timing); });
    run([&] { diff.time_b = bench_file(b, timing); });
  }
  return diff;
}

FolderDiff pair_files(const fs::path& a, const fs::path& b) {
  const std::vector<fs::path> first = files_below(a), second = files_below(b);
  FolderDiff diff;
  std::ranges::set_intersection(first, second, std::back_inserter(diff.both));
  std::ranges::set_difference(first, second, std::back_inserter(diff.only_a));
  std::ranges::set_difference(second, first, std::back_inserter(diff.only_b));
  return diff;
}

}  // namespace onnxport
