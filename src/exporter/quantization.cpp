#include "exporter/quantization.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace {

constexpr std::string_view kKey = "quantization_config";

[[noreturn]] void fail_method(const PretrainedConfig& config, const std::optional<std::string>& method) {
  fail(ErrorCode::unsupported,
       "{}: key '{}.quant_method' is {}, expected 'fp8' or 'mxfp4': other quantized weights are not "
       "supported; export the unquantized checkpoint",
       config.origin(), kKey, method ? "'" + *method + "'" : "missing");
}

std::array<std::int64_t, 2> read_block(const PretrainedConfig& quantization) {
  const std::vector<std::int64_t> extents = quantization.integers("weight_block_size");
  if (extents.size() != 2 || extents[0] < 1 || extents[1] < 1) {
    fail(ErrorCode::bad_config, "{}: key '{}.weight_block_size' is {}, expected two positive integers",
         quantization.origin(), kKey, text::shape_text(extents));
  }
  return {extents[0], extents[1]};
}

}  // namespace

Quantization read_quantization(const PretrainedConfig& config) {
  if (!config.has(kKey)) return {};
  const PretrainedConfig quantization = config.sub(kKey);
  const std::optional<std::string> method = quantization.maybe_string("quant_method");
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
