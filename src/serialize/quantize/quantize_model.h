/// Dynamic quantization of a model that was read from a file.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "onnxport/dynamic_quantization.h"
#include "serialize/lazy_model.h"

namespace onnxport::serialize {

struct QuantizedNodes {
  std::map<std::string, std::int64_t> by_type;  ///< how many nodes of a type are quantized now
  std::set<std::string> names;                  ///< of all nodes, with Gemm as MatMul
  /// Scales of the quantized weights. Reading one computes it from all values of its weight.
  std::vector<Weight> scales;
};

/// Quantizes the nodes that `how` selects, in the main graph and in those inside of it, as quantize_dynamic
/// of the onnxruntime 1.31.1 package does: the same operators, names, and integers. MatMul of two activations
/// is quantized too, as by Optimum. Weights stay lazy.
///
/// Throws ExportError(unsupported) if the model is quantized already, has
/// float16 values where integers are wanted, or an opset below 11.
QuantizedNodes quantize_model(LazyModel& model, const DynamicQuantization& how);

}  // namespace onnxport::serialize
