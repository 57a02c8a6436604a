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

/// GPTQ and AWQ: integers packed into words of 32 bits.
struct PackedFormat {
  enum class Layout {
    gptq,      ///< zero points are stored minus 1
    gptq_v2,   ///< as they are
    awq_gemm,  ///< also for the kernels exllama and ipex
    awq_gemv,
  };
  Layout layout = Layout::gptq;
  std::int64_t bits = 4;
  std::int64_t group_size = 128;  ///< inputs of a group; -1: all
  /// Whether groups are made of any inputs (GPTQ; then the checkpoint must tell them).
  bool act_order = false;
  /// Whether modules may have other bits and group sizes (GPTQ). Their tensors tell.
  bool varies = false;
};

/// How compressed-tensors stores the weights of some modules.
struct CompressedScheme {
  enum class Format { dense, pack, plain };  ///< plain: one integer or 8-bit float in each element
  enum class Strategy { tensor, channel, group, block };

  std::vector<std::string> targets;  ///< names, `re:` and a regular expression, or classes of modules
  Format format = Format::dense;
  Strategy strategy = Strategy::tensor;
  std::int64_t bits = 8;
  std::int64_t group_size = 0;                 ///< of the strategy group
  std::array<std::int64_t, 2> block = {0, 0};  ///< rows and columns, of the strategy block
  bool floats = false;                         ///< 8-bit floats, else integers
  bool symmetric = true;
};

/// compressed-tensors: the schemes, and the modules without one.
struct CompressedFormat {
  std::vector<CompressedScheme> schemes;
  std::vector<std::string> ignore;  ///< like CompressedScheme::targets
};

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
    /// `X.qweight`, `X.qzeros`, `X.scales`, `X.g_idx`.
    gptq,
    /// `X.qweight`, `X.qzeros`, `X.scales`.
    awq,
    /// `X.weight_packed` or `X.weight`, with `X.weight_scale`, `X.weight_zero_point`, …
    compressed_tensors,
    /// 4 bits: `X` with `X.absmax`, `X.quant_map`, `X.quant_state.bitsandbytes__nf4`, …; 8 bits: `X.weight`
    /// with `X.SCB`. The tensors themselves tell which.
    bitsandbytes,
  };

  Method method = Method::none;
  /// Rows and columns of an fp8 block. Absent: 128 x 128, or one scale for the whole tensor.
  std::optional<std::array<std::int64_t, 2>> block = {};
  PackedFormat packed = {};          ///< of gptq and awq
  CompressedFormat compressed = {};  ///< of compressed_tensors
  bool four_bits = false;            ///< of bitsandbytes: not 8 bits, whose weights may also be floats
};

/// Replaces quantized tensors by their values, with the keys of an unquantized checkpoint:
///
/// - fp8: `X` [..., R, C], float32. transformers never dequantizes these: it multiplies by scales inside
///   its matrix product. So the values are the products, rounded once, to float32.
/// - mxfp4: `X_blocks` [E, R, G, 16] and `X_scales` [E, R, G] become `X` [E, 32 * G, R], bfloat16: the bits
///   that transformers gives.
///
/// - gptq, awq: (code - zero point) * scale, rounded once to the dtype of the scales, as both
///   libraries compute it (`dequantize_weight`, `dequantize_gemm`). float32, not rounded, for the AWQ layout
///   gemv, which is only multiplied inside a kernel.
/// - compressed-tensors: the same for integers, and value * scale for 8-bit floats, rounded once to the dtype
///   of the scales (`dequantize`).
/// - bitsandbytes: 4 bits: table[code] * absmax, rounded to float32, then to the dtype of the quantization
///   state. absmax may be quantized itself: table[code] * absmax + offset, each rounded to float32. 8 bits:
///   code * SCB * (1 / 127), float32, each rounded (`int8_vectorwise_dequant`).
///
/// These weights are described (ir/weight_packed.h), so their codes can be had too.
///
/// Messages use `name` as the file. Throws ExportError(bad_checkpoint) for a quantized tensor without its
/// scale, a scale without its tensor, and shapes and dtypes that do not fit.
///
/// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/integrations/finegrained_fp8.py
/// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/integrations/mxfp4.py
/// https://github.com/AutoGPTQ/AutoGPTQ/blob/v0.7.1/auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py
/// https://github.com/casper-hansen/AutoAWQ/blob/v0.2.9/awq/utils/packing_utils.py
/// https://github.com/casper-hansen/AutoAWQ/blob/v0.2.9/awq/modules/linear/gemv.py
/// https://github.com/vllm-project/compressed-tensors/blob/0.20.1/src/compressed_tensors/compressors/pack_quantized
/// https://github.com/bitsandbytes-foundation/bitsandbytes/blob/0.50.2/bitsandbytes/functional.py
std::vector<StoredTensor> dequantize(std::vector<StoredTensor> tensors, const Quantization& quantization,
                                     const std::string& name);

}  // namespace onnxport
