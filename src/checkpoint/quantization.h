/// Checkpoints whose weights are quantized: each becomes the tensor that it stands for, computed when it is
/// read.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace onnxport {

/// How a checkpoint is quantized: the part of `quantization_config` that its tensors do not say themselves.
struct Quantization {
  enum class Method {
    none,
    /// DeepSeek-V3, Qwen3-*-FP8: 8-bit floats `X` times the scales `X_scale_inv` (or `X_scale`), of blocks or
    /// of the whole tensor. Scales of activations beside them (`input_scale`, `activation_scale`) say how
    /// inputs may be rounded, and are dropped.
    fp8,
    /// gpt-oss: `X_blocks` and `X_scales` of experts.
    mxfp4,
  };

  Method method = Method::none;
  /// Rows and columns of a block of fp8. Without: 128 x 128, and a scale may be one for a whole tensor.
  std::optional<std::array<std::int64_t, 2>> block = {};
};

/// The tensors with those that are quantized replaced by their values, under the keys that a checkpoint has
/// without quantization:
///
/// - fp8: `X` [..., R, C], float32. transformers never dequantizes these: it multiplies by scales inside of
///   its matrix product. So the values are the products, rounded once, to float32.
/// - mxfp4: `X_blocks` [E, R, G, 16] and `X_scales` [E, R, G] become `X` [E, 32 * G, R], bfloat16: the bits
///   that transformers gives.
///
/// `name` stands for the file in messages. Throws ExportError(bad_checkpoint) for a quantized tensor without
/// its scale, a scale without its tensor, and shapes and dtypes that do not fit.
///
/// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/integrations/finegrained_fp8.py
/// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/integrations/mxfp4.py
std::vector<StoredTensor> dequantize(std::vector<StoredTensor> tensors, const Quantization& quantization,
                                     const std::string& name);

}  // namespace onnxport
