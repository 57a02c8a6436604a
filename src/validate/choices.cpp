#include "validate/choices.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "onnxport/inspect.h"
#include "reference/strided.h"
#include "runtime/session.h"
#include "serialize/probe.h"
#include "validate/reference.h"

namespace onnxport::validate {
namespace {

using Places = reference::Lane<const std::int64_t>;

double tolerance(const std::vector<double>& scores, double atol) {
  double largest = 1;
  for (const double score : scores) {
    if (std::isfinite(score)) largest = std::max(largest, std::abs(score));
  }
  return atol * largest;
}

bool equally_good(reference::Lane<const double> scores, Places own, Places taken, double tolerance) {
  std::set<std::int64_t> different;
  for (std::int64_t i = 0; i < taken.size; ++i) {
    if (taken[i] < 0 || taken[i] >= scores.size || !different.insert(taken[i]).second) return false;
    const double a = scores[own[i]], b = scores[taken[i]];
    if (a != b && !(std::abs(a - b) <= tolerance)) return false;
  }
  return true;
}

}  // namespace

bool follow(const reference::Ranking& ranking, const std::vector<std::int64_t>& taken, double atol) {
  if (taken.size() != ranking.taken.size()) return false;
  const std::vector<double>& scores = ranking.scores.reals;
  const reference::AxisView view(ranking.scores.shape, ranking.axis);
  const std::int64_t lanes = view.outer * view.inner;
  if (lanes == 0) return true;
  const std::int64_t k = static_cast<std::int64_t>(taken.size()) / lanes;
  const double most = tolerance(scores, atol);
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    const std::int64_t outer = lane / view.inner, inner = lane % view.inner;
    const std::int64_t first = outer * view.extent * view.inner + inner, at = outer * k * view.inner + inner;
    if (!equally_good({scores.data() + first, view.extent, view.inner},
                      {ranking.taken.data() + at, k, view.inner}, {taken.data() + at, k, view.inner}, most))
      return false;
  }
  ranking.taken = taken;
  return true;
}

Choices::Choices(std::filesystem::path file) : file_(std::move(file)) {
  for (const NodeSummary& node : summarize(file_).graph.nodes) {
    if (node.op_type == "TopK") names_.push_back(node.outputs.size() > 1 ? node.outputs[1] : "");
  }
}

std::optional<NamedTensors> Choices::outputs(const Graph& graph, const NamedTensors& inputs,
                                             const NamedTensors& given, double atol) const {
  if (names_.empty() || std::ranges::count(names_, "") > 0) return {};
  const runtime::Session session(serialize::Probe(file_).with_outputs(names_), file_.parent_path());
  const NamedTensors taken = session.run(given, names_);
  std::size_t next = 0;
  bool right = true;
  const auto on_ranking = [&](const reference::Ranking& ranking) {
    right = right && next < taken.size() && follow(ranking, taken[next].second.to_ints(), atol);
    ++next;
  };
  std::vector<std::vector<reference::HostTensor>> results =
      reference::interpret(graph, {inputs}, {}, on_ranking);
  if (!right || next != taken.size()) return {};
  return named_outputs(graph, std::move(results.front()));
}

}  // namespace onnxport::validate
