/// EoMT: a Vision Transformer whose last layers have queries beside the patches.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "models/vision/common/mask_queries.h"
#include "models/vision/common/vit.h"

namespace onnxport::models {

/// Images of one size, image_size.
class EomtOnnxConfig : public MaskQueriesOnnxConfig {
 public:
  using MaskQueriesOnnxConfig::MaskQueriesOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

struct EomtConfig {
  /// `vit`: the encoder, with `learned` tokens before those of the patches. Throws ExportError(bad_config).
  EomtConfig(const PretrainedConfig& config, const ViTConfig& vit, std::int64_t learned);

  std::int64_t hidden_size, layers, learned, num_queries, num_blocks, num_upscale_blocks;
  nn::KernelSize grid;
  std::string activation;
  double eps;
};

/// A layer: [B, tokens, hidden_size] -> the same. The first tokens are `queries`, in the last layers.
using EomtLayer =
    std::function<Value(std::int64_t index, Value x, std::int64_t queries, const op::AttentionMask& mask)>;

/// Tokens of an image [B, learned + patches, hidden_size] -> class_queries_logits, masks_queries_logits.
/// Keys: query, layernorm, class_predictor, mask_head, upscale_block, attn_mask_probs. Throws
/// ExportError(unsupported) for masks at random.
NamedValues segment_eomt(const Scope& root, const PretrainedConfig& config, const EomtConfig& c, Value tokens,
                         const EomtLayer& layer);

}  // namespace onnxport::models
