/// The flags that quantize, of `export onnx` and `validate`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/recipe.h"

namespace CLI {
class App;
}

namespace onnxport::cli {

struct QuantizeFlags {
  std::string quantize;               ///< a precision
  std::vector<std::string> variants;  ///< precisions
  std::vector<std::string> overrides;
  std::string algorithm;  ///< empty: that of the precision
  std::string format = "contrib";
  std::int64_t block_size = 0;  ///< 0: that of the precision
  int accuracy_level = -1;      ///< -1: that of the layout
  bool zero_points = false;
  bool per_tensor = false;
};

void add_quantize(CLI::App& app, QuantizeFlags& flags);

/// The variants that the flags ask for; none without them. `layout`: decides the accuracy level if no flag
/// does. `dtype`: of --quantize, if the precision has none of its own; it may change it. Throws
/// ExportError(invalid_argument).
struct ChosenPrecisions {
  Recipe recipe = {};                      ///< of --quantize
  std::vector<Precision> precisions = {};  ///< of --variants
};
ChosenPrecisions chosen_precisions(const QuantizeFlags& flags, const std::string& layout, std::string& dtype);

}  // namespace onnxport::cli
