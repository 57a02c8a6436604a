#include "validate/decisions.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/inspect.h"
#include "onnxport/ops.h"
#include "reference/strided.h"
#include "runtime/session.h"
#include "serialize/probe.h"
#include "validate/compare.h"
#include "validate/reference.h"

namespace onnxport::validate {
namespace {

using Places = reference::Lane<const std::int64_t>;

// The operators of the ops whose results are decisions. The second result of TopK has the places.
struct Operator {
  Op op;
  const char* type;
  std::size_t result;
};
constexpr Operator kOperators[] = {
    {Op::topk, "TopK", 1},      {Op::argmax, "ArgMax", 0}, {Op::eq, "Equal", 0},         {Op::lt, "Less", 0},
    {Op::le, "LessOrEqual", 0}, {Op::gt, "Greater", 0},    {Op::ge, "GreaterOrEqual", 0}};

bool equally_good(reference::Lane<const double> scores, Places own, Places taken, double tolerance) {
  std::set<std::int64_t> different;
  for (std::int64_t i = 0; i < taken.size; ++i) {
    if (taken[i] < 0 || taken[i] >= scores.size || !different.insert(taken[i]).second) return false;
    const double a = scores[own[i]], b = scores[taken[i]];
    if (a != b && !(std::abs(a - b) <= tolerance)) return false;
  }
  return true;
}

// Goes through the decisions of a file along with those of a graph.
class Follower {
 public:
  // `made`: what the file decided, by op and in its order.
  Follower(std::map<Op, std::vector<Tensor>> made, double atol) : made_(std::move(made)), atol_(atol) {}

  template <class Decision>
  void operator()(const Decision& decision, std::vector<std::int64_t>& own) {
    const std::optional<std::vector<std::int64_t>> other = next(decision.op, own.size());
    if (other && *other != own) changed_ = follow(decision, *other, atol_) || changed_;
  }
  bool changed() const { return changed_; }

 private:
  // The graph has the same decisions in the same order. The file may have more of them, about sizes, and lack
  // some that do not depend on its inputs.
  std::optional<std::vector<std::int64_t>> next(Op op, std::size_t elements) {
    const std::vector<Tensor>& all = made_[op];
    for (std::size_t i = at_[op]; i < all.size(); ++i) {
      if (static_cast<std::size_t>(all[i].numel()) != elements) continue;
      at_[op] = i + 1;
      return all[i].to_ints();
    }
    return {};
  }

  std::map<Op, std::vector<Tensor>> made_;
  std::map<Op, std::size_t> at_;
  double atol_;
  bool changed_ = false;
};

}  // namespace

bool follow(const reference::Ranking& ranking, const std::vector<std::int64_t>& taken, double atol) {
  if (taken.size() != ranking.taken.size() || !is_float(ranking.scores.dtype)) return false;
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

bool follow(const reference::Comparison& comparison, const std::vector<std::int64_t>& holds, double atol) {
  const std::vector<double>& margins = comparison.margins.reals;
  if (holds.size() != comparison.holds.size() || margins.size() != holds.size()) return false;
  const double most = tolerance(margins, atol);
  for (std::size_t i = 0; i < holds.size(); ++i) {
    if (holds[i] != comparison.holds[i] && !(std::abs(margins[i]) <= most)) return false;
  }
  comparison.holds = holds;
  return true;
}

Decisions::Decisions(const std::filesystem::path& file) : file_(file) {
  for (const NodeSummary& node : summarize(file_).graph.nodes) {
    const auto* of = std::ranges::find(kOperators, node.op_type, &Operator::type);
    if (of == std::end(kOperators) || !node.domain.empty() || node.outputs.size() <= of->result) continue;
    if (const std::string& name = node.outputs[of->result]; !name.empty()) names_.emplace_back(of->op, name);
  }
}

std::optional<NamedTensors> Decisions::outputs(const Graph& graph, const NamedTensors& inputs,
                                               const NamedTensors& given, double atol) const {
  std::vector<std::string> all;
  for (const auto& [op, name] : names_) all.push_back(name);
  if (all.empty()) return {};
  NamedTensors values;
  try {
    const runtime::Session session(serialize::Probe(file_).with_outputs(all), file_.parent_path());
    values = session.run(given, all);
  } catch (const ExportError& error) {
    if (error.code() != ErrorCode::runtime) throw;
    return {};  // then the case stays as it is
  }
  std::map<Op, std::vector<Tensor>> made;
  for (std::size_t i = 0; i < names_.size(); ++i)
    made[names_[i].first].push_back(std::move(values[i].second));
  Follower follower(std::move(made), atol);
  std::vector<std::vector<reference::HostTensor>> results = reference::interpret(
      graph, {inputs}, {},
      {.ranking = [&](const reference::Ranking& one) { follower(one, one.taken); },
       .comparison = [&](const reference::Comparison& one) { follower(one, one.holds); }});
  if (!follower.changed()) return {};
  return named_outputs(graph, std::move(results.front()));
}

}  // namespace onnxport::validate
