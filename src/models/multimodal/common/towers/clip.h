/// Shared parts of CLIP, SigLIP and their towers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/common/parts.h"
#include "models/multimodal/common/towers/split_towers.h"
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

/// The object with this key, of this type if it does not say another. Old files also contain `<key>_dict`,
/// which takes precedence for all keys of its class.
PretrainedConfig part_config(const PretrainedConfig& whole, const std::string& key, const std::string& type);
/// The configuration of a tower of this model: `text_config` or `vision_config`. Its type is the model's with
/// `_text_model` or `_vision_model`, if the file does not say another. Old files contain `text_config_dict`
/// and `vision_config_dict`, which take precedence for all keys of their class.
PretrainedConfig tower_config(const PretrainedConfig& whole, const std::string& key);

/// The numbers for dummy inputs of both towers, by their usual names.
NormalizedConfig normalized_towers(const PretrainedConfig& text, const PretrainedConfig& vision);

/// Whether `architectures` names a class with a projection after its tower.
bool is_projected(const PretrainedConfig& config);

/// The whole CLIP model. Its image classifier takes only images.
class ClipOnnxConfig : public SplitTowersOnnxConfig {
 public:
  using SplitTowersOnnxConfig::SplitTowersOnnxConfig;
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

/// Patches [B, P, H] with a class token [1, 1, H] in front -> [B, 1 + P, H], with positions that broadcast to
/// it. `embeddings`: the module that does it.
Value add_class_token(const Scope& embeddings, Value patches, const Weight& class_token, Value positions);
Value add_class_token(const Scope& embeddings, Value patches, const Weight& class_token,
                      const Weight& positions);

/// The projected vectors of CLIP's towers: [T, D] and [I, D].
Value clip_text_embeds(const TasksManager& tasks, const Inputs& inputs, const Model& model);
Value clip_image_embeds(const TasksManager& tasks, const Inputs& inputs, const Model& model);

/// Builds all tasks of CLIP, for models with its keys whose towers have the roles.
Forward clip_forward(const TasksManager& tasks);

/// Cosines of all pairs: text [T, D] and image [I, D] -> logits_per_image [I, T], logits_per_text [T, I],
/// text_embeds and image_embeds normalized to length 1. `bias` may be empty.
NamedValues compare_towers(Value text, Value image, const Weight& logit_scale, const Weight& bias = {});

}  // namespace onnxport::models
