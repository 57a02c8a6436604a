#include "exporter/quantization.h"

#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exporter/compressed_config.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace {

constexpr std::string_view kKey = "quantization_config";

[[noreturn]] void fail_method(const PretrainedConfig& config, const std::optional<std::string>& method) {
  fail(ErrorCode::unsupported,
       "{}: key '{}.quant_method' is {}, expected 'fp8', 'mxfp4', 'gptq', 'awq', 'compressed-tensors' or "
       "'bitsandbytes': other quantized weights are not supported; export the unquantized checkpoint",
       config.origin(), kKey, method ? "'" + *method + "'" : "missing");
}

[[noreturn]] void fail_value(const PretrainedConfig& config, std::string_view key, const std::string& value,
                             std::string_view expected) {
  fail(ErrorCode::unsupported, "{}: key '{}.{}' is {}, expected {}; export the unquantized checkpoint",
       config.origin(), kKey, key, value, expected);
}

std::array<std::int64_t, 2> read_block(const PretrainedConfig& quantization) {
  const std::vector<std::int64_t> extents = quantization.integers("weight_block_size");
  if (extents.size() != 2 || extents[0] < 1 || extents[1] < 1) {
    fail(ErrorCode::bad_config, "{}: key '{}.weight_block_size' is {}, expected two positive integers",
         quantization.origin(), kKey, text::shape_text(extents));
  }
  return {extents[0], extents[1]};
}

/// The group size of GPTQ and AWQ: -1 or positive.
std::int64_t read_group_size(const PretrainedConfig& quantization) {
  const std::int64_t size = quantization.integer("group_size", 128);
  if (size != -1 && size < 1) {
    fail(ErrorCode::bad_config, "{}: key '{}.group_size' is {}, expected a positive integer or -1",
         quantization.origin(), kKey, size);
  }
  return size;
}

/// The name of a format, which has had several keys; in lower case.
std::string read_format(const PretrainedConfig& quantization, std::initializer_list<std::string_view> keys,
                        std::string_view otherwise) {
  std::optional<std::string> format;
  for (const std::string_view key : keys) {
    const auto value = quantization.maybe_string(key);
    if (!format && value) format = value;
  }
  return text::lower(format.value_or(std::string(otherwise)));
}

Quantization read_gptq(const PretrainedConfig& quantization) {
  PackedFormat packed{.layout = PackedFormat::Layout::gptq};
  const std::string format = read_format(quantization, {"checkpoint_format", "format"}, "gptq");
  if (format == "gptq_v2") {
    packed.layout = PackedFormat::Layout::gptq_v2;
  } else if (format != "gptq") {
    fail_value(quantization, "checkpoint_format", "'" + format + "'", "'gptq' or 'gptq_v2'");
  }
  const std::string words = read_format(quantization, {"pack_dtype"}, "int32");
  if (words != "int32") fail_value(quantization, "pack_dtype", "'" + words + "'", "'int32'");
  packed.bits = quantization.integer("bits");
  if (packed.bits != 2 && packed.bits != 3 && packed.bits != 4 && packed.bits != 8) {
    fail_value(quantization, "bits", std::to_string(packed.bits), "2, 3, 4 or 8");
  }
  packed.group_size = read_group_size(quantization);
  packed.act_order = quantization.flag("desc_act", false);
  // Settings of single modules: their tensors have another size.
  packed.varies = quantization.has("dynamic");
  // How the codes were found, and which kernel multiplies by them.
  quantization.harmless({"dynamic",
                         "sym",
                         "lm_head",
                         "meta",
                         "method",
                         "true_sequential",
                         "static_groups",
                         "damp_percent",
                         "damp_auto_increment",
                         "mse",
                         "tokenizer",
                         "dataset",
                         "model_name_or_path",
                         "model_file_base_name",
                         "backend",
                         "use_cuda_fp16",
                         "model_seqlen",
                         "block_name_to_quantize",
                         "batch_size",
                         "pad_token_id",
                         "module_name_preceding_first_block",
                         "use_exllama",
                         "disable_exllama",
                         "max_input_length",
                         "exllama_config",
                         "cache_block_outputs",
                         "modules_in_block_to_quantize",
                         "modules_to_not_convert",
                         "act_group_aware",
                         "hyb_act",
                         "quantizer",
                         "uri",
                         "is_marlin_format"});
  return {.method = Quantization::Method::gptq, .packed = packed};
}

Quantization read_awq(const PretrainedConfig& quantization) {
  PackedFormat packed{.layout = PackedFormat::Layout::awq_gemm};
  const std::string version = read_format(quantization, {"version", "checkpoint_format", "format"}, "gemm");
  if (version == "gemv") {
    packed.layout = PackedFormat::Layout::awq_gemv;
  } else if (version != "gemm" && version != "exllama" && version != "ipex") {
    fail_value(quantization, "version", "'" + version + "'", "'gemm' or 'gemv'");
  }
  const std::string backend = read_format(quantization, {"backend"}, "autoawq");
  if (backend == "llm-awq") fail_value(quantization, "backend", "'llm-awq'", "'autoawq'");
  packed.bits = quantization.integer("bits", quantization.maybe_integer("w_bit").value_or(4));
  if (packed.bits != 4) fail_value(quantization, "bits", std::to_string(packed.bits), "4");
  if (!quantization.flag("zero_point", true)) fail_value(quantization, "zero_point", "false", "true");
  packed.group_size = read_group_size(quantization);
  quantization.harmless({"modules_to_not_convert", "do_fuse", "fuse_max_seq_len", "modules_to_fuse",
                         "exllama_config", "meta", "method", "sym", "desc_act", "lm_head", "pack_dtype"});
  return {.method = Quantization::Method::awq, .packed = packed};
}

Quantization read_bitsandbytes(const PretrainedConfig& quantization) {
  // The tensors have their own settings. Outliers are about the rounding of activations.
  quantization.harmless({"load_in_4bit", "load_in_8bit", "_load_in_4bit", "_load_in_8bit",
                         "llm_int8_threshold", "llm_int8_skip_modules", "llm_int8_enable_fp32_cpu_offload",
                         "llm_int8_has_fp16_weight", "bnb_4bit_compute_dtype", "bnb_4bit_quant_type",
                         "bnb_4bit_use_double_quant", "bnb_4bit_quant_storage", "bnb_4bit_blocksize"});
  return {.method = Quantization::Method::bitsandbytes,
          .four_bits = quantization.flag("load_in_4bit", false) || quantization.flag("_load_in_4bit", false)};
}

/// transformers takes these flags for a method if there is no other.
bool has_bitsandbytes_flag(const PretrainedConfig& quantization) {
  const bool in_4 = quantization.flag("load_in_4bit", false);
  return quantization.flag("load_in_8bit", false) || in_4;
}

}  // namespace

Quantization read_quantization(const PretrainedConfig& config) {
  if (!config.has(kKey)) return {};
  const PretrainedConfig quantization = config.sub(kKey);
  const std::optional<std::string> method = quantization.maybe_string("quant_method");
  if (method == "gptq") return read_gptq(quantization);
  if (method == "awq") return read_awq(quantization);
  if (method == "compressed-tensors") return read_compressed(config);
  if (method == "bitsandbytes" || (!method && has_bitsandbytes_flag(quantization)))
    return read_bitsandbytes(quantization);
  // The tensors themselves show whether and how they are quantized. The rounding of activations before a
  // product is not exported; activations stay unchanged.
  quantization.harmless(
      {"fmt", "scale_fmt", "activation_scheme", "modules_to_not_convert", "ignored_layers", "dequantize"});
  if (method == "mxfp4") return {.method = Quantization::Method::mxfp4};
  if (method != "fp8") fail_method(config, method);
  Quantization result{.method = Quantization::Method::fp8};
  if (quantization.has("weight_block_size")) result.block = read_block(quantization);
  return result;
}

}  // namespace onnxport
