/// What PaliGemma and ColPali share.
#pragma once

#include "models/common/definition.h"

namespace onnxport::models {

/// The parts of the configuration, with the class defaults of their types.
PretrainedConfig paligemma_text_config(const PretrainedConfig& whole);
PretrainedConfig paligemma_vision_config(const PretrainedConfig& whole);

/// The projected patches of images [B, C, H, W] -> [B, patches, H], divided by what the language model
/// multiplies all vectors with. `model`: a PaliGemma. Keys: vision_tower, multi_modal_projector.linear.
Value encode_paligemma(const TasksManager& tasks, const Inputs& inputs, const Model& model);

}  // namespace onnxport::models
