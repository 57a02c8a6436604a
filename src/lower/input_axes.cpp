#include "lower/input_axes.h"

#include <algorithm>
#include <vector>

namespace onnxport::lower {

std::optional<InputAxis> find_axis(const Graph& graph, const Dim& length) {
  for (const auto& [input, value] : graph.inputs()) {
    const Shape& shape = value.shape();
    const auto axis = std::find(shape.begin(), shape.end(), length);
    if (axis != shape.end()) return InputAxis{input, static_cast<std::size_t>(axis - shape.begin())};
  }
  return {};
}

bool are_axes(const Graph& graph, const Dim& dim) {
  const std::vector<std::string> symbols = dim.symbols();
  return std::all_of(symbols.begin(), symbols.end(), [&](const std::string& symbol) {
    return find_axis(graph, Dim::symbol(symbol)).has_value();
  });
}

}  // namespace onnxport::lower
