/// The content of an .onnx file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/export_macro.h"

namespace onnxport {

/// An input or output. Types other than tensors ("sequence", "optional", "map") have no shape.
struct ValueSummary {
  std::string name;
  std::string type;                ///< "float32", "int64", …
  std::vector<std::string> shape;  ///< numbers and names of axes; "?" if neither is given
};

struct InitializerSummary {
  std::string name;
  std::string type;
  std::vector<std::int64_t> shape;
  std::uint64_t bytes = 0;
  std::string file;  ///< name of the external data file; empty if the data is in the model
};

struct SubgraphSummary;

struct NodeSummary {
  std::string op_type;
  std::string domain;  ///< empty: ai.onnx
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::vector<SubgraphSummary> graphs;                              ///< bodies of If and Loop
  std::vector<std::pair<std::string, std::int64_t>> integers = {};  ///< attributes that are integers
};

struct GraphSummary {
  std::string name;
  std::vector<ValueSummary> inputs;
  std::vector<ValueSummary> outputs;
  std::vector<NodeSummary> nodes;
  std::vector<InitializerSummary> initializers;
  std::vector<ValueSummary> values = {};  ///< results of nodes whose types the file declares
};

/// A graph that is an attribute of a node.
struct SubgraphSummary {
  std::string attribute;  ///< its name
  GraphSummary graph;
};

struct ModelSummary {
  std::int64_t ir_version = 0;
  std::string producer;  ///< name and version
  std::vector<std::pair<std::string, std::int64_t>>
      opsets;  ///< domain (empty: ai.onnx) and version, as in the file
  std::vector<std::pair<std::string, std::string>> metadata;
  GraphSummary graph;
};

/// Reads everything except payloads. Throws ExportError(io) if the file cannot be read, is truncated or is
/// not ONNX.
ONNXPORT_API ModelSummary summarize(const std::filesystem::path& path);
/// The same, with all values whose types shape inference finds. Also throws if external data is missing.
ONNXPORT_API ModelSummary summarize_with_types(const std::filesystem::path& path);

}  // namespace onnxport
