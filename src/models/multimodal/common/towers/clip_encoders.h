/// The encoders in CLIP's towers, for CLIP and the types that changed little of them.
#pragma once

#include <cstdint>
#include <string>

#include "models/multimodal/common/towers/clip.h"

namespace onnxport::models {

/// The token whose vector stands for a text.
enum class TextEnd : std::uint8_t {
  id,             ///< the first with eos_token_id
  id_or_highest,  ///< the same; but 2, in old files, is wrong, and means the first with the highest id
  highest,        ///< the first with the highest id
};

/// A text tower with causal attention. Takes input_ids [B, S] and, if it is an input, attention_mask [B, S].
EncoderStates encode_clip_text(const Inputs& inputs, const Model& model, TextEnd end);

struct ClipImageTower {
  std::string first_norm = "pre_layrnorm";  ///< its key
  bool any_size = false;                    ///< resamples positions for other image sizes
};

/// The class token and the patches of an image, with positions: [B, C, H, W] -> [B, 1 + patches,
/// hidden_size]. `embeddings`: its keys are class_embedding, patch_embedding, position_embedding.
Value clip_image_tokens(const Scope& embeddings, const ImageTowerConfig& c, Value pixel_values,
                        bool any_size = false);

/// An image tower whose vector is that of the class token. Takes pixel_values [B, C, H, W].
EncoderStates encode_clip_images(const Inputs& inputs, const Model& model, const ClipImageTower& tower = {});

/// Register `<type>_text_model` and `<type>_vision_model`, which are only parts of other models.
void register_clip_text_tower(TasksManager& tasks, const std::string& type, TextEnd end);
void register_clip_image_tower(TasksManager& tasks, const std::string& type,
                               const ClipImageTower& tower = {});

/// A model whose checkpoint may have a head around it: then the model's keys begin with `prefix`.
Model inside_head(const TasksManager& tasks, const Model& model, const std::string& prefix);

}  // namespace onnxport::models
