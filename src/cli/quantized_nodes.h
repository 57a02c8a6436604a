/// The quantized weights of an .onnx file, for `inspect`.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "onnxport/inspect.h"

namespace onnxport::cli {

/// A node that reads codes.
struct QuantizedNode {
  std::string name, op_type;
  std::int64_t bits = 8;
  std::int64_t block_size = 0;  ///< 0: one scale, or one for each channel
  std::uint64_t bytes = 0;      ///< of its stored weights
};

/// Those of the main graph and of its branches and bodies.
std::vector<QuantizedNode> quantized_nodes(const GraphSummary& graph);

/// "MatMulNBits, 4 bits in blocks of 32, 1.2 MB"
std::string describe(const QuantizedNode& node);

/// Lines for all of them, by kind: "22 x MatMulNBits, 4 bits in blocks of 32: 550 MB".
std::vector<std::string> describe(const std::vector<QuantizedNode>& nodes);

}  // namespace onnxport::cli
