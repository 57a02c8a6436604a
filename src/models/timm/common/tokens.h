/// Parts of networks of tokens: patches, fused attention, feed-forward networks.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/timm/common/timm_config.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {

/// Patches of an image as tokens. Keys: proj.weight [width, channels, patch, patch], proj.bias. [B, C, H, W]
/// -> [B, rows * columns, width]
Value embed_patches(const Scope& s, const TimmConfig& c, Value pixel_values, const nn::KernelSize& patch,
                    std::int64_t width, bool bias = true);
/// Rows and columns of patches in an image; the rest of the image is ignored. Throws ExportError(bad_config)
/// if there are none.
nn::KernelSize patch_grid(const TimmConfig& c, const nn::KernelSize& patch);
/// patch_size of the arguments, one number or two; `usual`: that of the architecture.
nn::KernelSize patch_size(const TimmConfig& c, std::int64_t usual);

/// Learned tokens in front of those of an image, and positions.
struct TokenPositions {
  std::vector<std::pair<std::string, std::int64_t>> learned = {};  ///< keys [1, count, width], and count
  bool stored = true;  ///< whether there are positions: pos_embed [1, tokens, width]
  bool placed = true;  ///< whether the learned tokens have positions, too
};
/// [B, patches, width] -> [B, learned + patches, width]
Value place_tokens(const Scope& s, Value patches, const TokenPositions& p);

/// Attention whose projections of queries, keys and values are one layer.
struct FusedAttention {
  std::string path;
  std::int64_t heads;
  std::vector<nn::Linear> projections;     ///< qkv; or queries, keys, values
  std::function<Value(Value)> turn = {};   ///< of queries and keys [B, S, heads * d]; or none
  std::optional<nn::LayerNorm> norm = {};  ///< before the last layer; or none
  nn::Linear output;

  /// [B, S, H] -> [B, S, H]
  Value operator()(Value x) const;
};
/// Keys: qkv, proj.
FusedAttention fused_attention(const Scope& s, std::int64_t width, std::int64_t heads, bool bias = true);

/// fc2(activation(fc1(x))). Keys: fc1, fc2.
std::function<Value(Value)> token_mlp(const Scope& s, std::int64_t width, std::int64_t inner,
                                      const std::string& activation = "gelu");
/// fc2(activation(first half) * second half) of fc1(x), or the other way round with `gate_last`. (Shazeer
/// 2020) Keys: fc1 [2 * inner, width], fc2.
std::function<Value(Value)> gated_token_mlp(const Scope& s, std::int64_t width, std::int64_t inner,
                                            bool gate_last = false);

/// The mean over the tokens after the first `prefix` ones ("avg"), their maximum ("max"), half their sum
/// ("avgmax"), or the first token ("token"): [B, S, H] -> [B, H]. Throws ExportError(bad_config) for another
/// kind.
Value pool_tokens(Value tokens, const std::string& kind, std::int64_t prefix);

/// Attention of one learned token to all others, and a feed-forward network. Keys: latent, q, kv, proj, norm,
/// mlp. [B, S, H] -> [B, H]. (timm's AttentionPoolLatent)
Value pool_by_attention(const Scope& s, Value tokens, std::int64_t heads, std::int64_t inner, double eps,
                        const std::string& activation);

}  // namespace onnxport::models
