/// Recipes: how the weights of a model are quantized.
///
/// What is quantized depends on roles. Linear layers (also products with a constant matrix) and the experts
/// of mixtures are quantized by every recipe, embeddings and convolutions only by some. Norms, biases,
/// routers of mixtures and small layers stay as they are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "onnxport/dtype.h"
#include "onnxport/export_macro.h"

namespace onnxport {

/// Weights as integers of a few bits, with a scale for each block of inputs (MatMulNBits). Activations stay
/// floats. Layers with fewer inputs than a block or fewer than 16 outputs stay as they are. An embedding
/// (GatherBlockQuantized) gets the codes of the layer that has the same weight; others are quantized only
/// where an override says so.
struct BlockRecipe {
  int bits = 4;                  ///< 2, 4 or 8
  std::int64_t block_size = 32;  ///< 16, 32, 64, 128 or 256
  bool symmetric = true;         ///< without zero points
  /// "rtn": rounds to nearest. "k_quant": searches scales and zero points. "k_quant_mixed": the same, with 8
  /// bits for the last layer, and for values and the last layers of the feed-forward parts of some blocks.
  std::string algorithm = "rtn";
  /// How precisely MatMulNBits multiplies: 0 (unspecified), 1 (float32), 2 (float16), 3 (bfloat16), 4 (also
  /// rounds activations to 8 bits).
  int accuracy_level = 0;
  /// Standard operators (DequantizeLinear of int4) instead of contrib ones; 4 bits, opset 21 or newer.
  bool standard_ops = false;
};

/// Weights as 4-bit floats with a scale for each block (MatMulBnb4).
struct Bnb4Recipe {
  std::string type = "nf4";  ///< nf4 or fp4
  std::int64_t block_size = 64;
};

/// Weights and activations as 8-bit integers; the scales of activations are computed when the model runs
/// (MatMulInteger, ConvInteger). Embeddings are quantized, too.
struct DynamicRecipe {
  /// i8 or u8, of linear layers and embeddings. Convolutions always have u8: no CPU kernel takes i8.
  DType weights = DType::i8;
  bool per_channel = true;  ///< a scale for each output of a linear layer
  /// 7 bits, for processors whose sums of 16 bits saturate otherwise (AVX2 and AVX-512 without VNNI).
  bool reduce_range = true;
};

/// The codes of a quantized checkpoint, without another rounding: integers in blocks (MatMulNBits) and NF4 or
/// FP4 (MatMulBnb4). Weights that are floats in the checkpoint, or that no kernel reads as they are, stay
/// floats.
struct KeepRecipe {
  int accuracy_level = 0;  ///< as in BlockRecipe
};

/// Another precision for the modules whose path matches a glob.
struct RecipeOverride {
  std::string
      modules;  ///< `lm_head`, `model.layers.0.*`: matches from the start of a path to a dot or its end
  /// q2, q4, q8: blocks with these bits; none: stays as it is.
  std::string precision;
};

struct ONNXPORT_API Recipe {
  std::variant<std::monostate, BlockRecipe, Bnb4Recipe, DynamicRecipe, KeepRecipe> scheme = {};
  std::vector<RecipeOverride> overrides = {};

  explicit operator bool() const { return scheme.index() != 0; }
  /// Whether activations become integers.
  bool is_dynamic() const { return std::holds_alternative<DynamicRecipe>(scheme); }
  /// Whether the codes of the checkpoint stay.
  bool keeps() const { return std::holds_alternative<KeepRecipe>(scheme); }
};

/// A precision by its name: fp32, fp16, bf16; q2, q4, q8 (dynamic), int8, uint8, bnb4; q2f16, q4f16.
struct ONNXPORT_API Precision {
  std::string name;
  std::string suffix;  ///< of file names: "_q4f16"; empty for fp32
  DType dtype = DType::f32;
  Recipe recipe = {};
  std::vector<std::string> files = {};  ///< the components and merges that it is for, by name; empty: all
};

/// Throws ExportError(invalid_argument) for an unknown name; the message lists the known ones.
ONNXPORT_API Precision get_precision(std::string_view name);
/// The known names.
ONNXPORT_API std::vector<std::string> precision_names();

/// Throws ExportError(invalid_argument) for parameters that no kernel has, and for an invalid override.
/// `called` begins the message: "--quantize q4".
ONNXPORT_API void check_recipe(const Recipe& recipe, DType dtype, std::string_view called);

}  // namespace onnxport
