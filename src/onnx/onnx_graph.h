/// The lowered graph, which the writer writes: ONNX nodes of one opset, with lazy weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "onnx/element_type.h"
#include "onnxport/dim.h"
#include "onnxport/dtype.h"
#include "onnxport/graph.h"
#include "onnxport/weight.h"

namespace onnxport {

struct OnnxGraph;

/// An attribute of an ONNX node. A tensor attribute is a constant Weight.
using OnnxAttr = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>,
                              Weight, std::shared_ptr<OnnxGraph>>;
using OnnxAttrs = std::vector<std::pair<std::string, OnnxAttr>>;

/// Contrib operators of ONNX Runtime.
inline constexpr const char* kMicrosoftDomain = "com.microsoft";

/// One ONNX node. An empty input name is an absent optional input.
struct OnnxNode {
  std::string op_type;
  std::string domain;  ///< empty: ai.onnx
  std::string name;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  OnnxAttrs attrs;
};

/// A named value with its type. Symbolic dims become dim_param.
struct OnnxValueInfo {
  std::string name;
  TensorType type;
  std::map<int, std::string> axis_names = {};  ///< names of axes that differ from the printed Dim
};

/// The type and the dims that a packed tensor has in the file.
struct PackedType {
  PackedElement element;
  std::vector<std::int64_t> shape;
  friend bool operator==(const PackedType&, const PackedType&) = default;
};

/// A stored tensor.
struct OnnxInitializer {
  std::string name;
  Weight weight;
  /// For elements of less than a byte: `weight` then is their bytes, uint8 of any shape. There are as many as
  /// the elements need, and unused bits of the last one are 0.
  std::optional<PackedType> packed = {};
};

/// A text that is equal if and only if type, dims and bytes are.
std::string fingerprint(const OnnxInitializer& initializer);

/// A graph with everything a ModelProto needs.
struct OnnxGraph {
  std::string name = "main_graph";
  std::vector<OnnxValueInfo> inputs;
  std::vector<OnnxValueInfo> outputs;
  std::vector<OnnxInitializer> initializers;
  std::vector<OnnxNode> nodes;
  /// Types of the results of nodes outside ai.onnx, whose shapes the official inference does not know.
  std::vector<OnnxValueInfo> values;
  std::map<std::string, int> opsets;                               ///< domain -> version; "" is ai.onnx
  std::vector<std::pair<std::string, std::string>> metadata = {};  ///< settings for a client
};

/// The graphs in a node's attributes: branches, and the bodies of loops.
std::vector<std::shared_ptr<OnnxGraph>> graphs_of(const OnnxNode& node);

/// Nodes of the graph and of the graphs inside of it.
std::size_t count_nodes(const OnnxGraph& graph);

/// Calls `rename` for the name of every input of the nodes, and of those inside of them.
void rename_inputs(std::vector<OnnxNode>& nodes, const std::function<void(std::string& name)>& rename);

}  // namespace onnxport
