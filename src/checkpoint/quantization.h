/// Quantized checkpoints: each quantized weight becomes the tensor that it represents, computed when it is
/// read.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace onnxport {

/// How a checkpoint is quantized: the part of `quantization_config` that cannot be seen from its tensors.
struct Quantization {
  enum class Method {
    none,
    /// DeepSeek-V3, Qwen3-*-FP8: 8-bit floats `X` times the scales `X_scale_inv` (or `X_scale`) of blocks or
    /// of the whole tensor. Scales of activations (`input_scale`, `activation_scale`) only control how inputs
    /// may be rounded, and are dropped.
    fp8,
    /// gpt-oss: `X_blocks` and `X_scales` of experts.
    mxfp4,
  };

  Method method = Method::none;
  /// Rows and columns of an fp8 block. Absent: 128 x 128, or one scale for the whole tensor.
  std::optional<std::array<std::int64_t, 2>> block = {};
};

/// Replaces quantized tensors by their values, with the keys of an unquantized checkpoint:
///
/// - fp8: `X` [..., R, C], float32. transformers never dequantizes these: it multiplies by scales inside
///   its matrix product. So the values are the products, rounded once, to float32.
/// - mxfp4: `X_blocks` [E, R, G, 16] and `X_scales` [E, R, G] become `X` [E, 32 * G, R], bfloat16: the bits
///   that transformers gives.
///
/// Messages use `name` as the file. Throws ExportError(bad_checkpoint) for a quantized tensor without its
/// scale, a scale without its tensor, and shapes and dtypes that do not fit.
///
/// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/integrations/finegrained_fp8.py
/// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/integrations/mxfp4.py
std::vector<StoredTensor> dequantize(std::vector<StoredTensor> tensors, const Quantization& quantization,
                                     const std::string& name);

}  // namespace onnxport
