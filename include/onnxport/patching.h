/// Named replacements of a module or of an op for one configuration: PATCHING_SPECS of a configuration class.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/graph.h"

namespace onnxport {

/// A place where a spec applies. All values belong to the new graph.
struct PatchSite {
  Graph& graph;
  std::string path;  ///< the module
  /// For an op: its operands, including absent ones. For a module: the values that it uses from outside,
  /// except weights, in the order of their first use.
  std::vector<Value> inputs;
  /// For a module: the weights that it uses, in the order of their first use. For an op, they are in
  /// `inputs`.
  std::vector<Value> weights;
  Attrs attrs;                      ///< of the op; empty for a module
  std::vector<TensorType> results;  ///< the types that the replacement must return, in this order
};

/// One replacement. It applies to the graph of a component before all other steps, so validation compares
/// with the patched model.
struct PatchingSpec {
  std::string name;  ///< for errors
  /// A module path, in which `*` stands for any characters, including dots. Selects this module and all
  /// modules below it. Empty: everywhere.
  std::string path = {};
  /// Name of an op, as in op.h ("gelu"). Empty: the whole module at `path`, which must be one piece: all
  /// nodes below that path, called once. Its results are the values that are used outside, in the order of
  /// their creation.
  std::string op = {};
  /// Makes the new results with ops. It must return the number and types of values in `site.results`.
  std::function<std::vector<Value>(const PatchSite& site)> replace;
};

}  // namespace onnxport
