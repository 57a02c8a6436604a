/// A page about exported files: one HTML file that needs no network.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/graph.h"
#include "onnxport/interface.h"

namespace onnxport {

/// The content of the page.
struct ReportContent {
  /// Files, or folders with .onnx files. Names in the page are relative to their common folder.
  std::vector<std::filesystem::path> onnx = {};
  std::string model = {};  ///< the exported model, as the user named it; empty: unknown
  /// The components' graphs as their definitions build them, from graph_to_json().
  std::vector<std::string> graphs = {};
  /// Output of `export onnx`, `validate` and `bench` with --json, each after its origin, for messages.
  std::vector<std::pair<std::string, std::string>> results = {};
  std::vector<std::filesystem::path> result_files = {};  ///< files with such JSON
  bool made_here = false;  ///< this process exported the files: the page shows its peak memory
};

/// A graph as JSON: nodes with op, module path, types and operands, and weights with the tensors of the
/// checkpoint that they are made of.
ONNXPORT_API std::string graph_to_json(const Component& component, const Graph& graph);

/// The .onnx files of a folder, of its folder `onnx`, and else of the folders in it; or the file itself.
/// Throws ExportError(io) if there are none.
ONNXPORT_API std::vector<std::filesystem::path> find_model_files(const std::filesystem::path& path);

/// The data of the page, as JSON. Reads no payloads of weights. Throws ExportError(io) for files that cannot
/// be read, and ExportError(invalid_argument) for results of none of these commands.
ONNXPORT_API std::string report_data(const ReportContent& content);

/// Writes the page, completely or not at all. Throws like report_data(), and ExportError(io) if the page
/// cannot be written.
ONNXPORT_API void write_report(const ReportContent& content, const std::filesystem::path& page);

/// Throws ExportError(io) if a page cannot be written there, for a check before long work.
ONNXPORT_API void check_report_path(const std::filesystem::path& page);

}  // namespace onnxport
