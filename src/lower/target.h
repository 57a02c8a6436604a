/// Targets: the opset and the runtime that a graph is lowered for.
#pragma once

namespace onnxport::lower {

/// Oldest opset that is lowered to.
inline constexpr int oldest_opset = 11;

enum class Runtime {
  any,  ///< operators of ai.onnx alone
  ort,  ///< contrib operators of ONNX Runtime (domain com.microsoft) as well
};

struct Target {
  int opset = 18;
  Runtime runtime = Runtime::any;
  /// Causal attention becomes GroupQueryAttention of ONNX Runtime wherever that is exact. Its CPU kernel
  /// refuses several new tokens behind a past in batches of more than one, so it has to be asked for.
  bool group_query_attention = false;
};

}  // namespace onnxport::lower
