/// Named replacements of a module or of an op for one configuration: PATCHING_SPECS of a configuration class.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/graph.h"

namespace onnxport {

/// A place where a spec applies. All values are of the graph that is being made.
struct PatchSite {
  Graph& graph;
  std::string path;  ///< the module
  /// Of an op: its operands, with their absent ones. Of a module: the values that it takes from outside other
  /// than weights, in the order of their first use.
  std::vector<Value> inputs;
  /// Of a module: the weights that it uses, in the order of their first use. An op has them in `inputs`.
  std::vector<Value> weights;
  Attrs attrs;                      ///< of the op; a module has none
  std::vector<TensorType> results;  ///< the types that the replacement must give, in this order
};

/// One replacement. It applies to the graph of a component before everything else, so that validation
/// compares with the patched model.
struct PatchingSpec {
  std::string name;  ///< for errors
  /// Module path with `*` for any characters, dots too: this module and all below it. Empty: everywhere.
  std::string path = {};
  /// Name of an op, as in op.h ("gelu"). Empty: the whole module at `path`, which must be one piece: all
  /// nodes below that path, called once. Its results are the values that are used outside, in the order in
  /// which they are made.
  std::string op = {};
  /// Makes the new results with ops. It must give as many values as `site.results`, of those types.
  std::function<std::vector<Value>(const PatchSite& site)> replace;
};

}  // namespace onnxport
