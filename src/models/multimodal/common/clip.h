/// Shared parts of CLIP, SigLIP and their towers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {

// ---- configurations ----

struct TowerConfig {
  explicit TowerConfig(const PretrainedConfig& config);

  std::int64_t hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
  std::string hidden_act;
  double layer_norm_eps;

  nn::EncoderLayerParameters layer() const;
};

struct TextTowerConfig : TowerConfig {
  explicit TextTowerConfig(const PretrainedConfig& config);
  std::int64_t vocab_size, max_position_embeddings;
};

struct ImageTowerConfig : TowerConfig {
  explicit ImageTowerConfig(const PretrainedConfig& config);
  std::int64_t num_channels, image_size, patch_size;
  std::int64_t patches() const { return (image_size / patch_size) * (image_size / patch_size); }
};

/// The numbers for dummy inputs of both towers, by their usual names.
NormalizedConfig normalized_towers(const PretrainedConfig& text, const PretrainedConfig& vision);

/// Whether `architectures` names a class with a projection after its tower.
bool is_projected(const PretrainedConfig& config);

/// The whole CLIP model. Its image classifier takes only images.
class ClipOnnxConfig : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  NormalizedConfig normalized_config() const override;
};

// ---- modules ----

/// Keys: embeddings.{token_embedding, position_embedding}, encoder.layers.{i}, final_layer_norm.
struct TextTower {
  std::string path;
  nn::Embedding tokens, positions;
  nn::PreNormEncoder encoder;
  nn::LayerNorm norm;

  TextTower(const Scope& s, const TextTowerConfig& c);
  /// input_ids [B, S] -> [B, S, H]
  Value operator()(Value input_ids, const op::AttentionMask& mask) const {
    return norm(states(input_ids, mask).back());
  }
  /// The embeddings, then the result of each layer, without the last norm: all [B, S, H].
  std::vector<Value> states(Value input_ids, const op::AttentionMask& mask) const;
};

/// Patches of an image as tokens: [B, channels, size, size] -> [B, patches, H]. Keys: patch_embedding.
Value embed_patches(const Scope& s, const ImageTowerConfig& c, Value pixel_values, bool bias);

/// A tower whose keys are at the model's root, by the type of its configuration: hidden states [B, S, H] and
/// one vector [B, D] per row. `key`: key of the configuration, for errors.
EncoderStates encode_tower(const TasksManager& tasks, Role role, const char* key,
                           const PretrainedConfig& config, const Inputs& inputs, const Model& model);

struct ClipEmbeds {
  Value text, image;  ///< projected: [T, D], [I, D]
};
ClipEmbeds clip_embeds(const TasksManager& tasks, const Inputs& inputs, const Model& model);

/// Cosines of all pairs: text [T, D] and image [I, D] -> logits_per_image [I, T], logits_per_text [T, I],
/// text_embeds and image_embeds normalized to length 1. `bias` may be empty.
NamedValues compare_towers(Value text, Value image, const Weight& logit_scale, const Weight& bias = {});

}  // namespace onnxport::models
