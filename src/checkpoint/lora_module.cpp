#include "checkpoint/lora_module.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/weight_low_rank.h"
#include "support/fail.h"
#include "support/pattern.h"
#include "support/printable.h"
#include "support/text.h"

namespace onnxport {
namespace {

using Dims = std::vector<std::int64_t>;
using Part = AdapterKey::Part;
using Tensor = LoraModule::Tensor;

constexpr ErrorCode kBad = ErrorCode::bad_checkpoint;

/// `pattern` as peft takes it: a regular expression of the end of a path, after a dot or the whole.
bool matches(const std::string& pattern, const std::string& path, const std::string& origin) {
  constexpr std::size_t kLongest = 1000;
  const std::string called =
      fmt::format("{}: '{}' in rank_pattern or alpha_pattern", origin, printable(pattern));
  return Pattern(pattern, kLongest, called, "(.*\\.)?(", ")").matches(path);
}

template <class Value>
Value of_pattern(const std::vector<std::pair<std::string, Value>>& patterns, Value otherwise,
                 const std::string& path, const std::string& origin) {
  for (const auto& [pattern, value] : patterns) {
    if (matches(pattern, path, origin)) return value;
  }
  return otherwise;
}

[[noreturn]] void fail_shape(const LoraModule& module, const Tensor& tensor, const std::string& expected) {
  fail(kBad, "tensor '{}' in {} has shape {}, expected {}", printable(tensor.key), module.file,
       text::shape_text(tensor.weight.shape()), expected);
}

/// The factors of a module: [r, ...] and [..., r].
struct Factors {
  const Tensor& a;
  const Tensor& b;
  std::int64_t rank;
  double scale;
};

Factors factors_of(const LoraModule& module, const LoraSettings& settings) {
  const bool embedding = module.find(Part::embedding_a) != nullptr;
  const Tensor& a = *module.find(embedding ? Part::embedding_a : Part::lora_a);
  const Tensor& b = *module.find(embedding ? Part::embedding_b : Part::lora_b);
  const std::int64_t rank = of_pattern(settings.rank_pattern, settings.rank, module.path, settings.origin);
  const double alpha = of_pattern(settings.alpha_pattern, settings.alpha, module.path, settings.origin);
  const Dims &first = a.weight.shape(), &second = b.weight.shape();
  const std::string of_rank = fmt::format("rank {} of {}", rank, settings.origin);
  if (first.size() < 2 || first[0] != rank)
    fail_shape(module, a, fmt::format("[{}, ...]: {}", rank, of_rank));
  const bool ones = std::all_of(second.begin() + std::min<std::ptrdiff_t>(2, std::ssize(second)),
                                second.end(), [](std::int64_t extent) { return extent == 1; });
  if (second.size() != first.size() || second[1] != rank || !ones)
    fail_shape(module, b, fmt::format("[..., {}]: {}", rank, of_rank));
  for (const Tensor* one : {&a, &b}) {
    if (is_float(one->weight.dtype())) continue;
    fail(kBad, "tensor '{}' in {} is {}, expected floats", printable(one->key), module.file,
         to_string(one->weight.dtype()));
  }
  const bool root = settings.scaling == LoraSettings::Scaling::by_root_of_rank;
  const auto r = static_cast<double>(rank);
  // torch multiplies a float32 tensor by a number rounded to float32.
  return {a, b, rank, static_cast<double>(static_cast<float>(alpha / (root ? std::sqrt(r) : r)))};
}

Weight reshaped(const Tensor& tensor, std::int64_t rows, std::int64_t columns) {
  return tensor.weight.reshape({rows, columns});
}

/// m V / |V|: each output along `axis` has the norm that m says.
Weight with_magnitudes(const LoraModule& module, const Weight& weight, std::int64_t axis) {
  const Tensor* magnitudes = module.find(Part::magnitude);
  if (magnitudes == nullptr) return weight;
  const Weight norms = weight.norm_except(axis);
  if (magnitudes->weight.numel() != norms.numel() || !is_float(magnitudes->weight.dtype())) {
    fail_shape(module, *magnitudes, fmt::format("[{}] floats, one for each output", norms.numel()));
  }
  return weight.mul(magnitudes->weight.cast(DType::f32).reshape(norms.shape()).div(norms));
}

}  // namespace

const Tensor* LoraModule::find(AdapterKey::Part part) const {
  const auto found = tensors.find(part);
  return found == tensors.end() ? nullptr : &found->second;
}

void check_lora(const LoraModule& module, const LoraSettings& settings) {
  const auto has = [&](Part part) { return module.find(part) != nullptr; };
  const Tensor& any = module.tensors.begin()->second;
  const auto refuse = [&](std::string_view why) {
    fail(kBad, "tensor '{}' in {}: {}", printable(any.key), module.file, why);
  };
  const bool linear = has(Part::lora_a) || has(Part::lora_b);
  const bool embedding = has(Part::embedding_a) || has(Part::embedding_b);
  if (linear && embedding) refuse("the module has both lora_A and lora_embedding_A, expected one of them");
  if (embedding ? has(Part::embedding_a) != has(Part::embedding_b) || has(Part::lora_bias)
                : !has(Part::lora_a) || !has(Part::lora_b)) {
    refuse(
        "it is alone, expected lora_A and lora_B (or lora_embedding_A and lora_embedding_B) of the module");
  }
  const auto check = [&](Part part, bool expected, std::string_view name, std::string_view key) {
    if (has(part) == expected) return;
    refuse(fmt::format("the module has {} {}, but {} has {}: {}", expected ? "no" : "a", name,
                       settings.origin, key, expected));
  };
  check(Part::magnitude, settings.dora, "lora_magnitude_vector", "use_dora");
  check(Part::lora_bias, settings.lora_bias && !embedding, "lora_B.bias", "lora_bias");
}

Weight merge_weight(const LoraModule& module, const BaseTensor& base, const LoraSettings& settings,
                    SquareLayout layout) {
  const auto [a, b, rank, scale] = factors_of(module, settings);
  const bool embedding = module.find(Part::embedding_a) != nullptr;
  const Dims& shape = base.weight.shape();
  if (!is_float(base.weight.dtype())) {
    fail(kBad, "tensor '{}' in {} adapts '{}', which is {}, expected floats", printable(a.key), module.file,
         base.key, to_string(base.weight.dtype()));
  }
  // [out, in, kernel...] of the weight that the adapter was made for.
  Dims made_for = a.weight.shape();
  made_for[0] = b.weight.shape()[0];
  const Dims stored_in_out = {made_for[1], made_for[0]};
  const bool as_is = shape == made_for, transposed = made_for.size() == 2 && shape == stored_in_out;
  const bool in_out = embedding || !as_is ||
                      (made_for[0] == made_for[1] && layout == SquareLayout::in_out && made_for.size() == 2);
  if (embedding ? !transposed : !as_is && !transposed) {
    fail(kBad,
         "tensors '{}' {} and '{}' {} in {} fit a weight of shape {}, but '{}' has shape {}; is this the "
         "base model of the adapter?",
         printable(a.key), text::shape_text(a.weight.shape()), printable(b.key),
         text::shape_text(b.weight.shape()), module.file,
         text::shape_text(embedding ? stored_in_out : made_for), base.key, text::shape_text(shape));
  }
  const std::int64_t outputs = made_for[0], inputs = outputs == 0 ? 0 : base.weight.numel() / outputs;
  const Weight left = reshaped(b, outputs, rank), right = reshaped(a, rank, inputs);
  if (in_out) {
    return with_magnitudes(module,
                           add_low_rank(base.weight, right.permute({1, 0}), left.permute({1, 0}), scale), 1);
  }
  const Weight matrix = base.weight.reshape({outputs, inputs});
  return with_magnitudes(module, add_low_rank(matrix, left, right, scale).reshape(shape), 0);
}

Weight merge_bias(const LoraModule& module, const BaseTensor& base, const LoraSettings& settings) {
  const Tensor& bias = *module.find(Part::lora_bias);
  if (bias.weight.shape() != base.weight.shape() || !is_float(bias.weight.dtype()))
    fail_shape(module, bias,
               fmt::format("{} floats, like '{}'", text::shape_text(base.weight.shape()), base.key));
  const Weight scale = Weight::from_doubles(DType::f32, {}, std::array{factors_of(module, settings).scale});
  return base.weight.cast(DType::f32).add(bias.weight.cast(DType::f32).mul(scale));
}

}  // namespace onnxport
