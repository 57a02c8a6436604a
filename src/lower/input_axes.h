/// Where the inputs of a graph have an axis.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "onnxport/graph.h"

namespace onnxport::lower {

struct InputAxis {
  std::string input;
  std::size_t axis = 0;
};

/// The first axis of an input with this length; nothing if there is none.
std::optional<InputAxis> find_axis(const Graph& graph, const Dim& length);

/// Whether each symbol of `dim` is the length of an axis by itself.
bool are_axes(const Graph& graph, const Dim& dim);

}  // namespace onnxport::lower
