#include "measure/node_pairs.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "measure/value_types.h"

namespace onnxport {
namespace {

using serialize::NodeFacts;

/// A name in the form that exporters share if they name nodes after modules.
std::string plain(std::string name) {
  if (name.starts_with('/')) name.erase(0, 1);
  const std::size_t last = name.rfind('/');
  if (last != name.npos)
    std::replace(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(last), '/', '.');
  return name;
}

std::string result_of(const NodeFacts& node) { return node.outputs.empty() ? "" : node.outputs.front().name; }

std::string shown_name(const NodeFacts& node) {
  return node.place + (node.name.empty() ? result_of(node) : node.name);
}

/// The nodes by a name that no other node of the file has.
template <class Name>
std::map<std::string, std::size_t> by_name(const std::vector<NodeFacts>& nodes, Name&& name_of) {
  std::map<std::string, std::size_t> index;
  std::set<std::string> twice;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (name_of(nodes[i]).empty()) continue;
    const std::string name = plain(nodes[i].place) + plain(name_of(nodes[i]));
    if (!index.emplace(name, i).second) twice.insert(name);
  }
  for (const std::string& name : twice) index.erase(name);
  return index;
}

/// A type without the names that inference made up.
ValueSummary shown(ValueSummary value) {
  for (std::string& extent : value.shape) {
    if (extent.starts_with("unk__")) extent = "?";
  }
  return value;
}

/// Whether two types do not contradict each other: inference does not find out every shape and extent.
bool may_be_same(const ValueSummary& a, const ValueSummary& b) {
  if (a.type != b.type) return false;
  if (a.shape.empty() || b.shape.empty()) return true;
  return std::ranges::equal(a.shape, b.shape, [](const std::string& x, const std::string& y) {
    return x == y || !measure::is_number(x) || !measure::is_number(y);
  });
}

/// The last nodes of the main graph by their modules, of those that contain no others: around these,
/// exporters differ in which nodes they count as the module's own.
std::map<std::string, std::size_t> last_of_modules(const std::vector<NodeFacts>& nodes) {
  std::map<std::string, std::size_t> last;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const std::string name = plain(nodes[i].name);
    const std::size_t end = name.rfind('/');
    if (nodes[i].place.empty() && end != name.npos) last[name.substr(0, end)] = i;
  }
  std::erase_if(last, [all = last](const auto& module) {
    const std::string inside = module.first + ".";
    const auto next = all.lower_bound(inside);
    return next != all.end() && next->first.starts_with(inside);
  });
  return last;
}

NodeDiff compare_pair(const NodeFacts& a, const NodeFacts& b) {
  NodeDiff diff{shown_name(a), shown_name(b), a.op, b.op, {}, {}};
  if (a.op == b.op) {  // other operators have other attributes
    std::map<std::string, TextDiff> texts;
    for (const auto& [name, text] : a.attributes) texts[name] = {name, text, ""};
    for (const auto& [name, text] : b.attributes) {
      texts[name].name = name;
      texts[name].b = text;
    }
    for (auto& [name, one] : texts) {
      if (one.a != one.b) diff.attributes.push_back(std::move(one));
    }
  }
  for (std::size_t i = 0; i < std::min(a.outputs.size(), b.outputs.size()); ++i) {
    const ValueSummary &x = a.outputs[i], &y = b.outputs[i];
    if (x.type.empty() || y.type.empty() || may_be_same(x, y)) continue;
    diff.results.push_back({x.name, measure::type_of(shown(x)), measure::type_of(shown(y))});
  }
  return diff;
}

}  // namespace

namespace measure {

PairedNodes pair_nodes(const std::filesystem::path& a, const std::filesystem::path& b) {
  PairedNodes nodes{serialize::node_facts(a), serialize::node_facts(b), {}, {}};
  std::vector<std::optional<std::size_t>> partners(nodes.a.size());
  std::vector<bool> taken(nodes.b.size());
  const auto match = [&](auto&& name_of) {
    const auto first = by_name(nodes.a, name_of), second = by_name(nodes.b, name_of);
    for (const auto& [name, i] : first) {
      const auto found = second.find(name);
      if (found == second.end() || partners[i] || taken[found->second]) continue;
      partners[i] = found->second;
      taken[found->second] = true;
    }
  };
  match([](const NodeFacts& node) { return node.name; });
  match(result_of);
  for (std::size_t i = 0; i < partners.size(); ++i) {
    if (partners[i]) nodes.pairs.emplace_back(i, *partners[i]);
  }
  // Exporters compute a linear layer by one node or by two, for example; its result is the same.
  const auto last = last_of_modules(nodes.b);
  for (const auto& [module, i] : last_of_modules(nodes.a)) {
    const auto found = last.find(module);
    if (found != last.end() && !partners[i] && !taken[found->second])
      nodes.modules.emplace_back(i, found->second);
  }
  return nodes;
}

NodesDiff compare_nodes(const PairedNodes& nodes) {
  NodesDiff diff;
  diff.count_a = nodes.a.size();
  diff.count_b = nodes.b.size();
  diff.same_name = nodes.pairs.size();
  diff.same_module = nodes.modules.size();
  for (const auto& [i, k] : nodes.pairs) {
    NodeDiff one = compare_pair(nodes.a[i], nodes.b[k]);
    if (one.op_a != one.op_b || !one.attributes.empty() || !one.results.empty())
      diff.differing.push_back(std::move(one));
  }
  return diff;
}

}  // namespace measure

NodesDiff diff_nodes(const std::filesystem::path& a, const std::filesystem::path& b) {
  return measure::compare_nodes(measure::pair_nodes(a, b));
}

}  // namespace onnxport
