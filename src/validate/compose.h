/// Files that a client connects: encoders of images or sound, a table of tokens, and a language model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/interface.h"
#include "onnxport/validate.h"

namespace onnxport::validate {

/// A file with the component and the graph that it was made from. `placeholder`: the id of the tokens that
/// the features of an encoder replace.
struct ComposedPart {
  const Component& component;
  const Graph& graph;
  std::filesystem::path file;
  std::int64_t placeholder = 0;
};

/// Whether the components are such parts: one returns inputs_embeds, one takes them and no tokens, and others
/// return features.
bool is_composed(const std::vector<Component>& components);

/// Runs the files as a client does: encodes, embeds a prompt with as many placeholders as there are rows of
/// features (32 at most), writes the features over their vectors, and decodes with an empty cache. Compares
/// the outputs of the decoder with those of the graphs, which the interpreter runs in the same way: a case
/// for each encoder. Throws ExportError(runtime) if ONNX Runtime is missing or refuses a file.
ValidationReport check_composition(const std::vector<ComposedPart>& parts, double atol, NonFinite non_finite);

}  // namespace onnxport::validate
