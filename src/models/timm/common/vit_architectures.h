/// The Vision Transformers of timm.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace onnxport::models {

/// Norms besides those of the blocks.
enum class TimmViTNorms : std::uint8_t {
  last,       ///< after the blocks
  pooled,     ///< after pooling
  both_ends,  ///< before and after the blocks; the patches then have no bias (CLIP)
  none,
};

/// Tokens in front of those of the patches.
struct TimmViTTokens {
  bool class_token = true;
  std::int64_t registers = 0;
  bool placed = true;  ///< whether they have positions
};

/// The arguments of an architecture.
struct TimmViT {
  std::int64_t patch = 16, width = 768, depth = 12, heads = 12;
  double mlp_ratio = 4;  ///< width inside of the feed-forward networks; with gates, that of both halves
  double eps = 1e-6;
  const char* activation = "gelu";
  TimmViTTokens tokens = {};
  const char* pool = "token";
  TimmViTNorms norms = TimmViTNorms::last;
  bool layer_scale = false;  ///< learned scales after attention and feed-forward
  bool qkv_bias = true;
  bool gated = false;      ///< feed-forward with gates
  bool distilled = false;  ///< a second token with a head of its own (DeiT)
};

/// All of them, by name.
const std::map<std::string, TimmViT, std::less<>>& vit_architectures();

}  // namespace onnxport::models
