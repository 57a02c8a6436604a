#include "onnxport/recipe.h"

#include <fmt/format.h>

#include <array>

#include "support/fail.h"

namespace onnxport {
namespace {

struct Entry {
  const char* name;
  const char* suffix;
  DType dtype;
  Recipe (*recipe)();
};

Recipe none() { return {}; }
Recipe q2() { return {.scheme = BlockRecipe{.bits = 2}}; }
Recipe q4() { return {.scheme = BlockRecipe{}}; }
Recipe int8() { return {.scheme = DynamicRecipe{}}; }
Recipe uint8() { return {.scheme = DynamicRecipe{.weights = DType::u8}}; }
Recipe bnb4() { return {.scheme = Bnb4Recipe{}}; }

// The names and suffixes that transformers.js knows. (src/utils/dtypes.js of version 4.3.2)
constexpr std::array<Entry, 11> kPrecisions = {{{"fp32", "", DType::f32, none},
                                                {"fp16", "_fp16", DType::f16, none},
                                                {"bf16", "_bf16", DType::bf16, none},
                                                {"q8", "_quantized", DType::f32, int8},
                                                {"int8", "_int8", DType::f32, int8},
                                                {"uint8", "_uint8", DType::f32, uint8},
                                                {"q4", "_q4", DType::f32, q4},
                                                {"q4f16", "_q4f16", DType::f16, q4},
                                                {"bnb4", "_bnb4", DType::f32, bnb4},
                                                {"q2", "_q2", DType::f32, q2},
                                                {"q2f16", "_q2f16", DType::f16, q2}}};

bool is_one_of(std::int64_t value, std::initializer_list<std::int64_t> allowed) {
  for (const std::int64_t one : allowed) {
    if (value == one) return true;
  }
  return false;
}

void check_block_size(std::int64_t block_size, std::string_view called) {
  if (is_one_of(block_size, {16, 32, 64, 128, 256})) return;
  fail(ErrorCode::invalid_argument, "{}: blocks of {}, expected 16, 32, 64, 128 or 256", called, block_size);
}

void check_accuracy_level(int level, std::string_view called) {
  if (level >= 0 && level <= 4) return;
  fail(ErrorCode::invalid_argument, "{}: accuracy level {}, expected 0 to 4", called, level);
}

void check_not_bf16(DType dtype, std::string_view called) {
  if (dtype != DType::bf16) return;
  fail(ErrorCode::invalid_argument, "{}: no CPU kernel takes codes in bfloat16; use --dtype fp32 or fp16",
       called);
}

void check(const BlockRecipe& recipe, DType dtype, std::string_view called) {
  check_block_size(recipe.block_size, called);
  const auto refuse = [&](const std::string& why) {
    fail(ErrorCode::invalid_argument, "{}: {}", called, why);
  };
  if (!is_one_of(recipe.bits, {2, 4, 8})) refuse(fmt::format("{} bits, expected 2, 4 or 8", recipe.bits));
  const std::string& algorithm = recipe.algorithm;
  if (algorithm != "rtn" && algorithm != "k_quant" && algorithm != "k_quant_mixed")
    refuse(fmt::format("algorithm '{}', expected rtn, k_quant or k_quant_mixed", algorithm));
  if (algorithm != "rtn" && recipe.bits == 2) refuse(algorithm + " has no 2 bits; use rtn");
  check_accuracy_level(recipe.accuracy_level, called);
  if (recipe.standard_ops && recipe.bits != 4)
    refuse(fmt::format("standard operators have 4 bits, got {}", recipe.bits));
  check_not_bf16(dtype, called);
}

void check(const Bnb4Recipe& recipe, DType dtype, std::string_view called) {
  check_block_size(recipe.block_size, called);
  if (recipe.type != "nf4" && recipe.type != "fp4")
    fail(ErrorCode::invalid_argument, "{}: type '{}', expected nf4 or fp4", called, recipe.type);
  if (dtype != DType::f32) {
    fail(ErrorCode::invalid_argument, "{}: the CPU kernel of MatMulBnb4 takes only float32, got {}", called,
         to_string(dtype));
  }
}

void check(const DynamicRecipe& recipe, DType dtype, std::string_view called) {
  if (recipe.weights != DType::i8 && recipe.weights != DType::u8)
    fail(ErrorCode::invalid_argument, "{}: weights of {}, expected int8 or uint8", called,
         to_string(recipe.weights));
  if (dtype != DType::f32) {
    fail(ErrorCode::invalid_argument, "{}: dynamic quantization works on float32 activations, got {}", called,
         to_string(dtype));
  }
}

void check(const KeepRecipe& recipe, DType dtype, std::string_view called) {
  check_accuracy_level(recipe.accuracy_level, called);
  check_not_bf16(dtype, called);
}

void check(const std::monostate& /*none*/, DType /*dtype*/, std::string_view /*called*/) {}

}  // namespace

Precision get_precision(std::string_view name) {
  for (const Entry& entry : kPrecisions) {
    if (name == entry.name) return {entry.name, entry.suffix, entry.dtype, entry.recipe()};
  }
  fail(ErrorCode::invalid_argument, "precision '{}': expected one of {}", name,
       fmt::join(precision_names(), ", "));
}

std::vector<std::string> precision_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kPrecisions) names.emplace_back(entry.name);
  return names;
}

void check_recipe(const Recipe& recipe, DType dtype, std::string_view called) {
  std::visit([&](const auto& scheme) { check(scheme, dtype, called); }, recipe.scheme);
  for (const RecipeOverride& one : recipe.overrides) {
    if (!recipe) fail(ErrorCode::invalid_argument, "{}: an override needs --quantize", called);
    const std::string& precision = one.precision;
    if (one.modules.empty() ||
        (precision != "q2" && precision != "q4" && precision != "q8" && precision != "none")) {
      fail(ErrorCode::invalid_argument,
           "{}: override '{}={}': expected a module path and q2, q4, q8 or none, as in 'lm_head=q8'", called,
           one.modules, precision);
    }
  }
}

}  // namespace onnxport
