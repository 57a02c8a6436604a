/// The nodes of a module as one piece of a graph.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/graph.h"

namespace onnxport::transform {

/// The part of a module path, from its start to a dot or its end, that matches a pattern (`*`: any
/// characters); the shortest one.
std::optional<std::string_view> module_at(std::string_view path, std::string_view pattern);

/// All nodes of a graph below one module path, except weights.
struct ModuleRegion {
  std::string path;
  std::vector<std::uint32_t> nodes;  ///< in their order
  std::vector<Value> inputs;         ///< from outside and no weights, in the order of their first use
  std::vector<Value> weights;        ///< likewise
  std::vector<Value> outputs;        ///< used outside, in the order in which they are made
  std::string flaw;                  ///< why the region cannot be replaced by other nodes; empty if it can
};

/// The regions of all modules that match a pattern, in the order of their first nodes.
std::vector<ModuleRegion> regions_at(const Graph& graph, std::string_view pattern);

}  // namespace onnxport::transform
