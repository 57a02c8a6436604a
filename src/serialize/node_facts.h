/// The nodes of an .onnx file, for a comparison with those of another one.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "onnxport/inspect.h"

namespace onnxport::serialize {

struct NodeFacts {
  std::string place;  ///< of a node in a graph of another node: "name of that node/attribute"
  std::string name;   ///< may be empty
  std::string op;     ///< with its domain, unless that is ai.onnx
  std::map<std::string, std::string> attributes;  ///< as text; also defaults, but no graphs
  std::set<std::string> inputs;                   ///< with the values that graphs inside of the node take
  std::vector<ValueSummary> outputs;              ///< the type is empty if shape inference does not find it
};

/// The nodes of the graph in order, each followed by those of the graphs inside of it. Constant nodes are
/// left out: stored_tensors() has their values. Throws like read_lazy_model().
std::vector<NodeFacts> node_facts(const std::filesystem::path& path);

}  // namespace onnxport::serialize
