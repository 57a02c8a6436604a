/// ONNX forms of products with quantized weights.
#pragma once

#include <optional>
#include <string>

#include "lower/emitter.h"

namespace onnxport::lower {

/// linear() with a weight of codes; nothing if the weight has none.
std::optional<std::string> coded_linear(Emitter& e, const Node& node);
/// embedding() with a table of codes; nothing if the table has none.
std::optional<std::string> coded_embedding(Emitter& e, const Node& node);
/// conv() of integers; nothing unless both operands are quantized.
std::optional<std::string> integer_conv(Emitter& e, const Node& node, OnnxAttrs attrs);
/// matmul() of integers; nothing unless both operands are quantized.
std::optional<std::string> integer_matmul(Emitter& e, const Node& node);

/// MatMulNBits: x [..., K] times the matrix [N, K] of these parts. `x`, `codes`, `scales` and `zero_points`
/// (may be empty) are ONNX names.
struct BlockOperands {
  std::string codes, scales, zero_points;
};
std::string matmul_n_bits(Emitter& e, const std::string& x, const BlockOperands& operands, std::int64_t rows,
                          std::int64_t columns, int bits, std::int64_t block_size);

}  // namespace onnxport::lower
