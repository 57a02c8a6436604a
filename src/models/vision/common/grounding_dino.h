/// Grounding DINO and MM Grounding DINO: find what a text names. (Liu et al. 2023)
#pragma once

#include <cstdint>
#include <string>

#include "models/common/definition.h"
#include "models/vision/common/feature_levels.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {

/// Throws ExportError(bad_config) for sizes that do not fit each other.
struct GroundingConfig {
  explicit GroundingConfig(const PretrainedConfig& config);
  nn::DeformableParameters sampling(std::int64_t heads, std::int64_t points) const;

  std::int64_t d_model, num_queries, levels, max_text_len;
  std::int64_t encoder_layers, encoder_heads, encoder_ffn_dim, encoder_points;
  std::int64_t decoder_layers, decoder_heads, decoder_ffn_dim, decoder_points;
  std::string activation;
  ImagePositionsKind positions;
  double temperature, eps;
  bool two_stage;
};

/// Which tokens of a text belong together: those up to a special token (start, end, full stop, question mark)
/// that is not the last of all.
struct TextBlocks {
  Value together;   ///< bool [B, L, L]
  Value positions;  ///< int64 [B, L]: within the block
};
TextBlocks text_blocks(Value input_ids);

/// A text and what the encoder makes of it.
struct GroundingText {
  Value tokens;  ///< [B, L, d_model]
  Value real;    ///< bool [B, L]: no padding
  TextBlocks blocks;
};
/// The text encoder, a BERT. Keys: text_backbone, text_projection.
GroundingText encode_text(const Scope& base, const PretrainedConfig& config, const GroundingConfig& c,
                          const Inputs& inputs);

/// Multi-head attention with mask. Keys: query, key, value, out_proj.
Value grounding_attention(const Scope& s, std::int64_t width, std::int64_t heads, Value query, Value key,
                          Value value, const op::AttentionMask& mask = {});

/// Mixes text and pixels, layer by layer; `text.tokens` becomes the last text. Keys: layers.{i}.
Value ground(const Scope& s, const GroundingConfig& c, const FeatureLevels& maps, GroundingText& text);

/// How similar pixels or queries [B, N, d_model] are to each token of the text, as `contrast` computes it:
/// [B, N, L]; -infinity for padding.
enum class Contrast : std::uint8_t {
  product,
  scaled,  ///< by 1 / sqrt(d_model), with a learned bias. Key: bias
};
Value similarity(const Scope& s, Contrast contrast, Value x, const GroundingText& text);

/// Registers one of the types.
void register_grounding_dino_type(TasksManager& tasks, const std::string& type, Contrast contrast);

}  // namespace onnxport::models
