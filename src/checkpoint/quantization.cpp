#include "checkpoint/quantization.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "checkpoint/quantized_tensors.h"
#include "ir/weight_scaled.h"
#include "support/fail.h"
#include "support/printable.h"
#include "support/shape.h"
#include "support/text.h"

namespace onnxport {
namespace {

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

// ---------------------------------------------------------------------------------------------------------------------
// fp8

constexpr std::array<std::string_view, 2> kScales = {"_scale_inv", "_scale"};
constexpr std::array<std::string_view, 2> kActivationScales = {"input_scale", "activation_scale"};
constexpr std::array<std::int64_t, 2> kBlock = {128, 128};  ///< where the configuration says nothing

/// A tensor of 8-bit floats and the tensor of its scales.
Weight scaled(const QuantizedTensors& tensors, const StoredTensor& tensor, const StoredTensor& scale,
              const Quantization& quantization) {
  const TensorView& view = tensor.view;
  const Weight factors = scale.as_weight();
  if (!is_float(factors.dtype())) {
    fail(kBad, "tensor '{}' in {} is {}, expected floats: it has the scales of '{}'",
         printable(scale.view.key), tensors.file(), describe(scale.view), printable(view.key));
  }
  if (!quantization.block && factors.numel() == 1 && factors.shape().size() <= 1) {
    const std::int64_t count = view.numel();
    if (count == 0) return tensor.weight;
    const Weight flat = tensor.weight.reshape({1, count});
    return scale_blocks(flat, factors.reshape({1, 1}), 1, count).reshape(view.shape);
  }
  const auto [rows, columns] = quantization.block.value_or(kBlock);
  if (view.shape.size() < 2) {
    fail(kBad, "tensor '{}' in {} has shape {}, expected a matrix in blocks of {} x {}", printable(view.key),
         tensors.file(), text::shape_text(view.shape), rows, columns);
  }
  const std::vector<std::int64_t> expected = shape_of_scales(view.shape, rows, columns);
  if (factors.shape() != expected) {
    fail(kBad, "tensor '{}' in {} has shape {}, expected {}: one scale per {} x {} elements of '{}' {}",
         printable(scale.view.key), tensors.file(), text::shape_text(factors.shape()),
         text::shape_text(expected), rows, columns, printable(view.key), text::shape_text(view.shape));
  }
  return scale_blocks(tensor.weight, factors, rows, columns);
}

void dequantize_fp8(QuantizedTensors& tensors, const Quantization& quantization) {
  // Scales come first, because they may be 8-bit floats themselves.
  std::vector<std::pair<const StoredTensor*, const StoredTensor*>> pairs;  // tensor, its scale
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& scale = tensors[i];
    for (const std::string_view suffix : kScales) {
      const std::string_view key = stem(scale.view.key, suffix);
      if (key.empty()) continue;
      const StoredTensor* tensor = tensors.find(key);
      if (tensor != nullptr && tensor->float8 && !tensors.is_taken(scale)) {
        pairs.emplace_back(tensor, &scale);
        tensors.take(scale);
      } else if (key.ends_with("weight") ||
                 suffix == "_scale_inv") {  // `logit_scale` is a tensor like any other
        const std::string found = tensor == nullptr ? "is missing" : "is " + describe(tensor->view);
        fail(kBad, "tensor '{}' in {} has the scales of '{}', which {}, expected 8-bit floats",
             printable(scale.view.key), tensors.file(), printable(key), found);
      }
    }
  }
  for (const auto& [tensor, scale] : pairs) {
    if (tensors.is_taken(*tensor)) {
      fail(kBad, "tensor '{}' in {} has two tensors of scales, expected either '{}' or '{}'",
           printable(tensor->view.key), tensors.file(), kScales[0], kScales[1]);
    }
    tensors.take(*tensor);
    tensors.add(tensor->view.key, scaled(tensors, *tensor, *scale, quantization));
    const std::string_view module = stem(tensor->view.key, "weight");
    for (const std::string_view name : kActivationScales) {
      const StoredTensor* of_input = tensors.find(fmt::format("{}{}", module, name));
      if (of_input != nullptr && of_input->view.numel() == 1) tensors.take(*of_input);
    }
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].float8 || tensors.is_taken(tensors[i])) continue;
    const std::string key = printable(tensors[i].view.key);
    fail(kBad, "tensor '{}' in {} has 8-bit floats but no scale, expected '{}{}' or '{}{}' beside it", key,
         tensors.file(), key, kScales[0], key, kScales[1]);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// mxfp4

void dequantize_mxfp4(QuantizedTensors& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const TensorView& view = tensors[i].view;
    const std::string_view of_scales = stem(view.key, "_scales");
    if (!of_scales.empty() && tensors.find(fmt::format("{}_blocks", of_scales)) == nullptr) {
      fail(kBad, "tensor '{}' in {} has the scales of '{}_blocks', which is missing", printable(view.key),
           tensors.file(), printable(of_scales));
    }
    const std::string_view key = stem(view.key, "_blocks");
    if (key.empty()) continue;
    const StoredTensor* scales = tensors.find(fmt::format("{}_scales", key));
    if (scales == nullptr) {
      fail(kBad, "tensor '{}' in {} has 4-bit floats but no scales, expected '{}_scales' beside it",
           printable(view.key), tensors.file(), printable(key));
    }
    if (tensors.find(key) != nullptr) {
      fail(kBad, "tensor '{}' in {} occurs twice: also as '{}'", printable(key), tensors.file(),
           printable(view.key));
    }
    if (view.dtype != DType::u8 || view.shape.size() != 4 || view.shape.back() != 16) {
      fail(kBad, "tensor '{}' in {} is {}, expected uint8[experts, rows, groups, 16]: it has 4-bit floats",
           printable(view.key), tensors.file(), describe(view));
    }
    const std::vector<std::int64_t> expected(view.shape.begin(), view.shape.end() - 1);
    if (scales->view.dtype != DType::u8 || scales->view.shape != expected) {
      fail(kBad, "tensor '{}' in {} is {}, expected uint8{}: it has the scales of '{}' {}",
           printable(scales->view.key), tensors.file(), describe(scales->view), text::shape_text(expected),
           printable(view.key), text::shape_text(view.shape));
    }
    if (!element_count(std::array{view.shape[0], view.shape[1], view.shape[2], std::int64_t{32}})) {
      fail(kBad, "tensor '{}' in {} has the impossible shape {}", printable(view.key), tensors.file(),
           text::shape_text(view.shape));
    }
    const Weight weight = from_mxfp4(tensors[i].as_weight(), scales->as_weight()).permute({0, 2, 1});
    tensors.take(tensors[i]);
    tensors.take(*scales);
    tensors.add(std::string(key), weight);
  }
}

// The original refuses float weights where these methods expect codes.
void check_changed(const QuantizedTensors& tensors, const Quantization& quantization) {
  using Method = Quantization::Method;
  const Method method = quantization.method;
  const bool packed = method == Method::gptq || method == Method::awq;
  const bool bitsandbytes = method == Method::bitsandbytes && quantization.four_bits;
  if (tensors.changed() || (!packed && !bitsandbytes)) return;
  fail(ErrorCode::bad_checkpoint,
       "{} has no weights of the method that config.json names in 'quantization_config': expected tensors "
       "'….{}'; if the weights are floats, remove this key",
       tensors.file(), packed ? "qweight" : "quant_state.bitsandbytes__nf4");
}

}  // namespace

std::vector<StoredTensor> dequantize(std::vector<StoredTensor> tensors, const Quantization& quantization,
                                     const std::string& name) {
  if (quantization.method == Quantization::Method::none) return tensors;
  QuantizedTensors editable(std::move(tensors), name);
  switch (quantization.method) {
    case Quantization::Method::none:
      break;
    case Quantization::Method::fp8:
      dequantize_fp8(editable, quantization);
      break;
    case Quantization::Method::mxfp4:
      dequantize_mxfp4(editable);
      break;
    case Quantization::Method::gptq:
      dequantize_gptq(editable, quantization.packed);
      break;
    case Quantization::Method::awq:
      dequantize_awq(editable, quantization.packed);
      break;
    case Quantization::Method::compressed_tensors:
      dequantize_compressed(editable, quantization.compressed);
      break;
    case Quantization::Method::bitsandbytes:
      dequantize_bitsandbytes(editable);
      break;
  }
  check_changed(editable, quantization);
  return std::move(editable).rest();
}

}  // namespace onnxport
