/// Dynamic quantization of .onnx files: integer weights, and activations that are quantized at run time.
#pragma once

#include <string>
#include <vector>

#include "onnxport/dtype.h"

namespace onnxport {

/// Whether the range of quantized values is as wide below 0 as above.
enum class Symmetry { symmetric, asymmetric };

/// How to quantize. The defaults are those of Optimum's presets, except for `avx2`.
struct DynamicQuantization {
  DType weight_dtype = DType::i8;  ///< int8 or uint8: weights of MatMul, Conv and Attention
  Symmetry weights = Symmetry::symmetric;
  /// Of constants in the place of activations, such as embedding tables, which are uint8. With uint8 weights,
  /// `weights` holds for them too.
  Symmetry tables = Symmetry::asymmetric;
  bool per_channel = false;   ///< one scale for each output channel of MatMul, Attention and LSTM
  bool reduce_range = false;  ///< weights of 7 bits
  /// Types of the nodes that are quantized.
  std::vector<std::string> operators = {
      "Conv", "MatMul", "Attention", "LSTM", "Gather", "Transpose", "EmbedLayerNormalization"};
  std::vector<std::string> nodes = {};           ///< names of nodes; empty: all
  std::vector<std::string> excluded_nodes = {};  ///< names of nodes that stay
};

}  // namespace onnxport
