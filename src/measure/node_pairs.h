/// Nodes of two files that have the same name.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "onnxport/diff.h"
#include "serialize/node_facts.h"

namespace onnxport::measure {

/// Two files, node by node.
struct PairedNodes {
  std::vector<serialize::NodeFacts> a, b;
  std::vector<std::pair<std::size_t, std::size_t>> pairs;  ///< indices in A, ascending, and in B
  /// The last nodes of the same module, as far as both have no partner of the same name.
  std::vector<std::pair<std::size_t, std::size_t>> modules;
};

PairedNodes pair_nodes(const std::filesystem::path& a, const std::filesystem::path& b);

/// What differs without running anything.
NodesDiff compare_nodes(const PairedNodes& nodes);

}  // namespace onnxport::measure
