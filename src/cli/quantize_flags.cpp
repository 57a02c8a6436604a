#include "cli/quantize_flags.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport::cli {
namespace {

constexpr const char* kKeep = "keep";

[[noreturn]] void refuse(const std::string& text) { throw ExportError(ErrorCode::invalid_argument, text); }

RecipeOverride parse_override(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0)
    refuse(fmt::format("--quantize-override '{}': expected MODULES=PRECISION, as in lm_head=q8", text));
  return {text.substr(0, equals), text.substr(equals + 1)};
}

int accuracy_level(const QuantizeFlags& flags, const std::string& layout) {
  constexpr int kOfGenai = 4;  // the default of its model builder on CPUs
  if (flags.accuracy_level >= 0) return flags.accuracy_level;
  return layout == "genai" ? kOfGenai : 0;
}

// The parameters of the flags, where the recipe has them.
void apply(const QuantizeFlags& flags, const std::string& layout, Recipe& recipe) {
  for (const std::string& text : flags.overrides) {
    if (recipe) recipe.overrides.push_back(parse_override(text));
  }
  if (auto* blocks = std::get_if<BlockRecipe>(&recipe.scheme)) {
    if (flags.block_size != 0) blocks->block_size = flags.block_size;
    if (!flags.algorithm.empty()) blocks->algorithm = flags.algorithm;
    if (flags.zero_points) blocks->symmetric = false;
    blocks->accuracy_level = accuracy_level(flags, layout);
    blocks->standard_ops = flags.format == "standard";
  } else if (auto* kept = std::get_if<KeepRecipe>(&recipe.scheme)) {
    kept->accuracy_level = accuracy_level(flags, layout);
  } else if (auto* bnb4 = std::get_if<Bnb4Recipe>(&recipe.scheme)) {
    if (flags.block_size != 0) bnb4->block_size = flags.block_size;
  } else if (auto* dynamic = std::get_if<DynamicRecipe>(&recipe.scheme)) {
    if (flags.per_tensor) dynamic->per_channel = false;
  }
}

// PRECISION, or FILE=PRECISION for one of the files.
void add_variant(const std::string& text, std::vector<Precision>& precisions) {
  const std::size_t equals = text.find('=');
  const std::string name = equals == std::string::npos ? text : text.substr(equals + 1);
  if (name == kKeep) refuse("--variants keep: the codes of a checkpoint have one file; use --quantize keep");
  if (equals == 0) refuse(fmt::format("--variants '{}': expected FILE=PRECISION, as in model=q4", text));
  Precision precision = get_precision(name);
  if (equals != std::string::npos) precision.files = {text.substr(0, equals)};
  const auto same = std::find_if(precisions.begin(), precisions.end(),
                                 [&](const Precision& other) { return other.name == precision.name; });
  if (same == precisions.end() || same->files.empty() || precision.files.empty()) {
    precisions.push_back(std::move(precision));
  } else {
    same->files.push_back(precision.files.front());
  }
}

// Flags without a recipe that they change are mistakes.
void check_use(const QuantizeFlags& flags, const std::vector<Recipe>& recipes) {
  bool blocks = false, bnb4 = false, dynamic = false, kept = false;
  for (const Recipe& recipe : recipes) {
    blocks = blocks || std::holds_alternative<BlockRecipe>(recipe.scheme);
    bnb4 = bnb4 || std::holds_alternative<Bnb4Recipe>(recipe.scheme);
    dynamic = dynamic || recipe.is_dynamic();
    kept = kept || recipe.keeps();
  }
  const auto check = [](bool given, const char* flag, bool used, const char* needs) {
    if (given && !used) refuse(fmt::format("{} has no effect without {}", flag, needs));
  };
  const char* of_blocks = "a precision in blocks, such as --quantize q4";
  check(flags.block_size != 0, "--block-size", blocks || bnb4, of_blocks);
  check(!flags.algorithm.empty(), "--quantize-algorithm", blocks, of_blocks);
  check(flags.zero_points, "--zero-points", blocks, of_blocks);
  check(flags.accuracy_level >= 0, "--accuracy-level", blocks || kept, of_blocks);
  check(flags.format != "contrib", "--quantize-format", blocks, of_blocks);
  check(flags.per_tensor, "--per-tensor", dynamic, "dynamic quantization, such as --quantize q8");
  check(!flags.overrides.empty(), "--quantize-override", blocks || bnb4 || dynamic || kept,
        "--quantize or --variants");
}

}  // namespace

void add_quantize(CLI::App& app, QuantizeFlags& flags) {
  const char* group = "Quantization (see docs/quantization.md)";
  const std::string names = fmt::format("{}", fmt::join(precision_names(), ", "));
  app.add_option("--quantize", flags.quantize,
                 fmt::format("Precision of the weights: {}; or keep: the codes of a "
                             "quantized checkpoint",
                             names))
      ->group(group);
  app.add_option("--variants", flags.variants,
                 "Files in several precisions at once, separated by commas; their names get suffixes: _fp16, "
                 "_quantized (q8), _q4, ...; FILE=PRECISION for one file: decoder_model_merged=q4")
      ->delimiter(',')
      ->group(group);
  app.add_option("--quantize-override", flags.overrides,
                 "Another precision for some modules: MODULES=q2|q4|q8|none, where MODULES is a path with "
                 "wildcards, as in 'lm_head=q8' (repeatable)")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--block-size", flags.block_size, "Values that share a scale: 16 to 256")->group(group);
  app.add_option("--quantize-algorithm", flags.algorithm,
                 "rtn (rounds to nearest), k_quant (searches scales), or k_quant_mixed (with 8 bits for some "
                 "layers)")
      ->group(group);
  app.add_flag("--zero-points", flags.zero_points, "Blocks also have a zero point")->group(group);
  app.add_option(
         "--accuracy-level", flags.accuracy_level,
         "Of MatMulNBits: 0 (unspecified) to 4 (fastest: rounds activations to 8 bits); default: 4 for "
         "--layout genai, else 0")
      ->check(CLI::Range(0, 4))
      ->group(group);
  app.add_option("--quantize-format", flags.format,
                 "contrib (MatMulNBits), or standard (DequantizeLinear of int4, from opset 21)")
      ->check(CLI::IsMember({"contrib", "standard"}))
      ->group(group);
  app.add_flag("--per-tensor", flags.per_tensor,
               "q8, int8, uint8: one scale for each weight, instead of one for each output")
      ->group(group);
}

ChosenPrecisions chosen_precisions(const QuantizeFlags& flags, const std::string& layout,
                                   std::string& dtype) {
  ChosenPrecisions chosen;
  if (!flags.quantize.empty() && !flags.variants.empty())
    refuse("--quantize and --variants exclude each other: add the precision to the list of --variants");
  if (!flags.variants.empty() && dtype != "fp32")
    refuse(fmt::format("--variants and --dtype {} exclude each other: add {} to the list of --variants",
                       dtype, dtype));
  if (flags.quantize == kKeep) {
    if (layout == "transformers.js") {
      refuse(
          "--quantize keep: layout transformers.js names files after precisions, and a checkpoint may have "
          "several; use --quantize q4, or another layout");
    }
    chosen.recipe = {.scheme = KeepRecipe{}};
    apply(flags, layout, chosen.recipe);
  } else if (!flags.quantize.empty()) {
    Precision precision = get_precision(flags.quantize);
    if (!precision.recipe) {
      refuse(fmt::format("--quantize {}: expected a quantized precision; for plain floats, use --dtype",
                         flags.quantize));
    }
    if (precision.dtype == DType::f16) dtype = "fp16";
    apply(flags, layout, precision.recipe);
    if (layout == "transformers.js") {  // names files after precisions
      chosen.precisions.push_back(std::move(precision));
    } else {
      chosen.recipe = std::move(precision.recipe);
    }
  }
  for (const std::string& text : flags.variants) add_variant(text, chosen.precisions);
  if (!flags.variants.empty())
    for (Precision& one : chosen.precisions) apply(flags, layout, one.recipe);
  std::vector<Recipe> recipes = {chosen.recipe};
  for (const Precision& one : chosen.precisions) recipes.push_back(one.recipe);
  check_use(flags, recipes);
  return chosen;
}

}  // namespace onnxport::cli
