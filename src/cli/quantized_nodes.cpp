#include "cli/quantized_nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "support/text.h"

namespace onnxport::cli {
namespace {

// The initializers of a graph, and those of the graphs around it.
class Initializers {
 public:
  Initializers(const GraphSummary& graph, const Initializers* outer) : outer_(outer) {
    for (const InitializerSummary& one : graph.initializers) known_[one.name] = &one;
  }
  // Null if there is none.
  const InitializerSummary* find(const std::string& name) const {
    const auto found = known_.find(name);
    if (found != known_.end()) return found->second;
    return outer_ != nullptr ? outer_->find(name) : nullptr;
  }

 private:
  const Initializers* outer_;
  std::map<std::string, const InitializerSummary*> known_;
};

std::int64_t integer(const NodeSummary& node, const std::string& name, std::int64_t fallback) {
  const auto found = std::find_if(node.integers.begin(), node.integers.end(),
                                  [&](const auto& attribute) { return attribute.first == name; });
  return found == node.integers.end() ? fallback : found->second;
}

std::int64_t bits_of(const std::string& type) {
  if (type == "int8" || type == "uint8") return 8;
  if (type == "int4" || type == "uint4") return 4;
  return type == "int2" || type == "uint2" ? 2 : 0;
}

// Nothing for a node that reads no codes. Those in the body of a Scan read a part of a stored weight; its
// bytes do not count.
std::optional<QuantizedNode> describe_node(const NodeSummary& node, const Initializers& known) {
  QuantizedNode made{node.name, node.op_type};
  bool codes = false;
  for (const std::string& input : node.inputs) {
    const InitializerSummary* stored = known.find(input);
    if (stored == nullptr) continue;
    made.bytes += stored->bytes;
    const std::int64_t bits = bits_of(stored->type);
    if (bits == 0) continue;
    made.bits = codes ? std::max(made.bits, bits) : bits;
    codes = true;
  }
  const bool packed = node.op_type == "MatMulNBits" || node.op_type == "GatherBlockQuantized";
  if (packed || node.op_type == "MatMulBnb4") made.bits = integer(node, "bits", 4);
  made.block_size = integer(node, "block_size", 0);
  const bool reads = packed || node.op_type == "MatMulBnb4" || node.op_type == "MatMulInteger" ||
                     node.op_type == "ConvInteger" || node.op_type == "DequantizeLinear" ||
                     node.op_type == "Gather";
  if (!reads || (!codes && !packed)) return {};
  return made;
}

void collect(const GraphSummary& graph, const Initializers* outer, std::vector<QuantizedNode>& nodes) {
  const Initializers known(graph, outer);
  for (const NodeSummary& node : graph.nodes) {
    if (auto made = describe_node(node, known)) nodes.push_back(*std::move(made));
    for (const SubgraphSummary& inner : node.graphs) collect(inner.graph, &known, nodes);
  }
}

std::string kind_of(const QuantizedNode& node) {
  return node.op_type + fmt::format(", {} bits", node.bits) +
         (node.block_size > 0 ? fmt::format(" in blocks of {}", node.block_size) : std::string());
}

}  // namespace

std::vector<QuantizedNode> quantized_nodes(const GraphSummary& graph) {
  std::vector<QuantizedNode> nodes;
  collect(graph, nullptr, nodes);
  return nodes;
}

std::string describe(const QuantizedNode& node) {
  return fmt::format("{}, {}", kind_of(node), text::human_bytes(node.bytes));
}

std::vector<std::string> describe(const std::vector<QuantizedNode>& nodes) {
  std::map<std::string, std::pair<std::size_t, std::uint64_t>> kinds;
  for (const QuantizedNode& node : nodes) {
    auto& [count, bytes] = kinds[kind_of(node)];
    ++count;
    bytes += node.bytes;
  }
  std::vector<std::string> lines;
  for (const auto& [kind, sums] : kinds)
    lines.push_back(fmt::format("{} x {}: {}", sums.first, kind, text::human_bytes(sums.second)));
  return lines;
}

}  // namespace onnxport::cli
