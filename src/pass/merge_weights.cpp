#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

std::string bytes_of(const Weight& weight, std::int64_t begin, std::int64_t count) {
  std::string bytes(static_cast<std::size_t>(count) * size_of(weight.dtype()), '\0');
  weight.read(begin, count, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

bool equal(const Weight& a, const Weight& b) {
  if (a.fingerprint() == b.fingerprint()) return true;
  constexpr std::int64_t kTile = 1 << 18;
  for (std::int64_t at = 0; at < a.numel(); at += kTile) {
    const std::int64_t count = std::min(kTile, a.numel() - at);
    if (bytes_of(a, at, count) != bytes_of(b, at, count)) return false;
  }
  return true;
}

}  // namespace

Graph merge_weights(Graph graph) {
  constexpr std::int64_t kSample = 16;
  std::map<std::string, std::vector<Weight>> seen;     // by dtype, shape and first elements
  std::unordered_map<std::uint32_t, Weight> replaced;  // by node
  for (const Node& node : graph.nodes()) {
    if (node.op != Op::weight) continue;
    const Weight& weight = node.weight;
    std::string key = fmt::format("{} {} ", static_cast<int>(weight.dtype()), fmt::join(weight.shape(), ","));
    key += bytes_of(weight, 0, std::min(kSample, weight.numel()));
    std::vector<Weight>& candidates = seen[key];
    const auto twin = std::find_if(candidates.begin(), candidates.end(),
                                   [&](const Weight& other) { return equal(weight, other); });
    if (twin == candidates.end()) {
      candidates.push_back(weight);
    } else {
      replaced.emplace(node.id, *twin);
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
