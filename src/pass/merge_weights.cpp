#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/weight_compare.h"
#include "ir/weight_steps.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

void read_bytes(const Weight& weight, std::int64_t begin, std::int64_t count, std::string& bytes) {
  bytes.resize(static_cast<std::size_t>(count) * size_of(weight.dtype()));
  weight.read(begin, count, reinterpret_cast<std::byte*>(bytes.data()));
}

}  // namespace

Graph merge_weights(Graph graph) {
  struct Candidate {
    Weight whole, inner;
  };
  constexpr std::int64_t kSample = 16;
  std::map<std::string, std::vector<Candidate>>
      seen;  // by dtype, shape, steps and first elements before them
  std::unordered_map<std::uint32_t, Weight> replaced;  // by node
  std::string sample;
  for (const Node& node : graph.nodes()) {
    if (node.op != Op::weight) continue;
    const Weight& weight = node.weight;
    const Steps steps = steps_of(weight);
    const Weight& inner = steps.inner;
    std::string key = fmt::format("{} {} {} {} ", static_cast<int>(weight.dtype()),
                                  fmt::join(weight.shape(), ","), steps.text, fmt::join(inner.shape(), ","));
    read_bytes(inner, 0, std::min(kSample, inner.numel()), sample);
    key += sample;
    std::vector<Candidate>& candidates = seen[key];
    const auto twin = std::find_if(candidates.begin(), candidates.end(),
                                   [&](const Candidate& other) { return same_elements(inner, other.inner); });
    if (twin == candidates.end()) {
      candidates.push_back({weight, inner});
    } else {
      replaced.emplace(node.id, twin->whole);
    }
  }
  if (replaced.empty()) return graph;
  return rebuild(std::move(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    const auto found = replaced.find(node.id);
    if (found == replaced.end()) return {};
    return {result.weight_as_is(found->second)};
  });
}

}  // namespace onnxport::pass
