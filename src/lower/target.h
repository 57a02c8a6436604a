/// Targets: the opset and the runtime that a graph is lowered for.
#pragma once

namespace onnxport::lower {

/// The oldest supported opset.
inline constexpr int oldest_opset = 11;

enum class Runtime {
  any,  ///< operators of ai.onnx alone
  ort,  ///< contrib operators of ONNX Runtime (domain com.microsoft) as well
};

/// When causal attention becomes ONNX Runtime's GroupQueryAttention. Its CPU kernel refuses several new
/// tokens after a past in batches of more than one row, so it is off by default.
enum class GroupQuery {
  never,
  /// Wherever that is exact. Padding is a bias.
  any_padding,
  /// With padding only behind the tokens of a row. Each row's length is the number of its tokens, so keys and
  /// values of past and present may be one buffer, longer than either.
  right_padding,
};

struct Target {
  int opset = 18;
  Runtime runtime = Runtime::any;
  GroupQuery group_query = GroupQuery::never;
  /// Of MatMulNBits, its attribute accuracy_level; 0: unspecified.
  int accuracy_level = 0;
  /// Quantized weights as DequantizeLinear of 4-bit integers, without contrib operators.
  bool standard_quantization = false;
};

}  // namespace onnxport::lower
