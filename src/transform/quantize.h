/// Quantizes the weights of a graph.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/recipe.h"

namespace onnxport::transform {

/// A weight that became codes.
struct QuantizedLayer {
  std::string path;        ///< of its module
  std::string weight;      ///< its name in the checkpoint
  std::string precision;   ///< "4 bits in blocks of 32"
  std::int64_t numel = 0;  ///< values
  std::int64_t bytes = 0;  ///< of codes, scales and zero points
};

/// What a recipe did to a graph.
struct QuantizeSummary {
  std::vector<QuantizedLayer> layers;
  std::set<std::string> matched;  ///< overrides that match a layer
  std::size_t kept = 0;           ///< layers with the codes of the checkpoint
  /// Weights of the checkpoint that have 8 bits or less, but not as codes that an operator reads.
  std::set<std::string> rounded;
  /// Weights of the checkpoint that have codes, but stay floats, by reason: "groups of 8 inputs".
  std::map<std::string, std::set<std::string>> lost;
};

/// Gives linear layers, experts and, if the recipe or an override says so, embeddings and convolutions
/// weights with codes (ir/weight_coded.h), and puts dynamic_quantize before the products of a dynamic recipe.
/// The graph computes with the values of the codes. Run it after factors are folded into weights; but with a
/// KeepRecipe before that, because codes cannot absorb factors. If the codes of a layer have its inputs in
/// another order (act-order), index_select gives it that order.
Graph quantize(Graph graph, const Recipe& recipe, QuantizeSummary& summary);

}  // namespace onnxport::transform
