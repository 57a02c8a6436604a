/// From components to files: the steps that export_onnx() and run_plan() share.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnx/onnx_graph.h"
#include "onnxport/export.h"
#include "onnxport/graph.h"
#include "onnxport/interface.h"
#include "onnxport/model.h"
#include "onnxport/plan.h"
#include "serialize/writer.h"
#include "transform/quantize.h"

namespace onnxport::pipeline {

/// Throws ExportError(invalid_argument) for invalid options.
void check_options(const ExportOptions& options, int opset, DType float_dtype);

/// The graph of a component in a variant, built by its definition and changed by the variant's transforms,
/// except quantization.
Graph build_component(const Model& model, const Component& component, const Variant& variant,
                      const Layout& layout);

/// The graph with the weights of a recipe. Factors are folded into weights before, and parts that no output
/// needs are left out: both would be too late afterwards. Adds to `summary`.
Graph quantize_component(Graph graph, const Recipe& recipe, transform::QuantizeSummary& summary);

/// The ONNX graph of a component, with the axis names of its interface. `graph` comes from build_component().
OnnxGraph lower_component(const Component& component, Graph graph, int opset, const ExportOptions& options,
                          const Recipe& recipe = {});

/// The same for a client that pads on the right, and may hand over one buffer for the keys and values of past
/// and present. Nothing if the target has no operator for that, or another part of the graph reads them.
std::optional<OnnxGraph> lower_with_shared_cache(const Component& component, const Graph& graph, int opset,
                                                 const ExportOptions& options, const Recipe& recipe = {});

/// Call it after all graphs are built, so that a failing definition is reported before its unread tensors.
void check_accounting(const Model& model, const ExportOptions& options);

/// A file with its graph.
struct Prepared {
  std::filesystem::path path;
  OnnxGraph graph;
  std::string shared_data = {};  ///< external data for several models; empty: <name of the file>_data
};

/// For external data in the checkpoint: weights become the stored tensors, and the files must be in the
/// folder of the models.
void place_weights(std::vector<Prepared>& prepared, const ExportOptions& options);

/// Writes them together. `largest_data_file`: in bytes; 0: no limit.
std::vector<serialize::WrittenFile> write(const std::vector<Prepared>& prepared, const ExportOptions& options,
                                          std::uint64_t largest_data_file = 0);

/// Calls the listener, if there is one.
void say(const std::function<void(const std::string&)>& listener, const std::string& text);

}  // namespace onnxport::pipeline
