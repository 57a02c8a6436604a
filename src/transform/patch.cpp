#include "transform/patch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/ops.h"
#include "pass/rebuild.h"
#include "support/text.h"
#include "transform/module_region.h"

namespace onnxport::transform {
namespace {

ExportError broken(const PatchingSpec& spec, const std::string& what) {
  return {ErrorCode::internal, fmt::format("patching spec '{}': {}", spec.name, what)};
}

std::optional<Op> op_of(std::string_view name) {
  constexpr auto ops = std::to_array<Op>({
#define ONNXPORT_PRIMITIVE(op) Op::op,
#include "onnxport/ops.def"
  });
  const auto found = std::find_if(ops.begin(), ops.end(), [&](Op op) { return to_string(op) == name; });
  return found == ops.end() ? std::nullopt : std::optional(*found);
}

[[noreturn]] void fail_unmatched(const Graph& graph, const PatchingSpec& spec) {
  std::set<std::string> paths;
  for (const Node& node : graph.nodes()) {
    if (!node.path.empty()) paths.insert(node.path);
  }
  const std::vector<std::string> near = text::nearest(spec.path, paths);
  throw broken(spec, fmt::format("matches nothing: there is no {}{}{}", spec.op.empty() ? "module" : spec.op,
                                 spec.path.empty() ? "" : fmt::format(" at '{}'", spec.path),
                                 near.empty() ? "" : "; similar module paths are: " + text::join(near)));
}

// The results of a spec for a site, checked.
std::vector<Value> replacement(const PatchingSpec& spec, const PatchSite& site) {
  const auto refuse = [&](const std::string& got, const std::string& expected) {
    return ExportError(ErrorCode::shape, fmt::format("patching spec '{}' at '{}': returns {}, expected {}",
                                                     spec.name, site.path, got, expected));
  };
  std::vector<Value> values = spec.replace(site);
  if (values.size() != site.results.size())
    throw refuse(fmt::format("{} values", values.size()), std::to_string(site.results.size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string expected = to_string(site.results[i]);
    if (!values[i]) throw refuse("an absent value", expected);
    if (&values[i].graph() != &site.graph) throw refuse("a value of another graph", expected);
    if (values[i].type() != site.results[i]) throw refuse(to_string(values[i].type()), expected);
  }
  return values;
}

Graph patch_op(Graph graph, const PatchingSpec& spec, Op op) {
  const auto applies = [&](const Node& node) {
    return node.op == op && (spec.path.empty() || module_at(node.path, spec.path).has_value());
  };
  if (std::none_of(graph.nodes().begin(), graph.nodes().end(), applies)) fail_unmatched(graph, spec);
  return pass::rebuild(std::move(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    if (!applies(node)) return {};
    return replacement(spec, {.graph = result,
                              .path = node.path,
                              .inputs = node.inputs,
                              .weights = {},
                              .attrs = node.attrs,
                              .results = node.outputs});
  });
}

// Copies a graph, with replacements instead of its regions. A node is made at its original position, or
// earlier if an earlier replacement needs it.
class ModulePatch {
 public:
  ModulePatch(const Graph& graph, const PatchingSpec& spec, const std::vector<ModuleRegion>& regions)
      : graph_(graph),
        spec_(spec),
        regions_(regions),
        region_of_(graph.nodes().size()),
        made_(graph.nodes().size()),
        results_(graph.nodes().size()),
        result_(graph.float_dtype()) {
    for (const ModuleRegion& region : regions) {
      for (const std::uint32_t id : region.nodes) region_of_[id] = &region;
    }
  }

  Graph run() && {
    for (const auto& [name, value] : graph_.inputs()) {
      results_[value.node()->id] = {result_.input(name, value.type())};
      made_[value.node()->id] = true;
    }
    for (const Node& node : graph_.nodes()) {
      if (node.op != Op::weight) make(node);  // weights come with the first of their users that is left
    }
    result_.set_path({});
    for (const auto& [name, value] : graph_.outputs()) result_.output(name, moved(value));
    return std::move(result_);
  }

 private:
  Value moved(const Value& value) {
    if (!value) return {};
    make(*value.node());
    return results_[value.node()->id][value.index()];
  }

  std::vector<Value> moved(const std::vector<Value>& values) {
    std::vector<Value> result;
    result.reserve(values.size());
    for (const Value& value : values) result.push_back(moved(value));
    return result;
  }

  void make(const Node& node) {
    if (made_[node.id]) return;
    if (const ModuleRegion* region = region_of_[node.id]) return replace(*region);
    Node copy = node;
    copy.inputs = moved(node.inputs);
    result_.set_path(node.path);
    const Node& made = *pass::copy_node(result_, std::move(copy)).node();
    for (std::uint32_t i = 0; i < node.outputs.size(); ++i) results_[node.id].push_back(made.out(i));
    made_[node.id] = true;
  }

  void replace(const ModuleRegion& region) {
    for (const std::uint32_t id : region.nodes) {
      made_[id] = true;
      results_[id].resize(graph_.nodes()[id].outputs.size());
    }
    PatchSite site{.graph = result_,
                   .path = region.path,
                   .inputs = moved(region.inputs),
                   .weights = moved(region.weights),
                   .attrs = {},
                   .results = {}};
    for (const Value& value : region.outputs) site.results.push_back(value.type());
    result_.set_path(region.path);
    const std::vector<Value> values = replacement(spec_, site);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Value& old = region.outputs[i];
      results_[old.node()->id][old.index()] = values[i];
    }
  }

  const Graph& graph_;
  const PatchingSpec& spec_;
  const std::vector<ModuleRegion>& regions_;
  std::vector<const ModuleRegion*> region_of_;  // by node
  std::vector<bool> made_;                      // by node
  std::vector<std::vector<Value>> results_;     // by node
  Graph result_;
};

Graph patch_module(const Graph& graph, const PatchingSpec& spec) {
  const std::vector<ModuleRegion> regions = regions_at(graph, spec.path);
  if (regions.empty()) fail_unmatched(graph, spec);
  for (const ModuleRegion& region : regions) {
    if (!region.flaw.empty()) throw broken(spec, fmt::format("'{}' {}", region.path, region.flaw));
  }
  return ModulePatch(graph, spec, regions).run();
}

}  // namespace

Graph patch(Graph graph, const std::vector<PatchingSpec>& specs) {
  for (const PatchingSpec& spec : specs) {
    if (!spec.replace) throw broken(spec, "has no replacement");
    if (spec.op.empty()) {
      if (spec.path.empty()) throw broken(spec, "names neither a module path nor an op");
      graph = patch_module(graph, spec);
      continue;
    }
    const std::optional<Op> op = op_of(spec.op);
    if (!op) throw broken(spec, fmt::format("'{}' is not an op", spec.op));
    graph = patch_op(std::move(graph), spec, *op);
  }
  return graph;
}

}  // namespace onnxport::transform
