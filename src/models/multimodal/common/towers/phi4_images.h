/// Images of Phi-4 multimodal: each as a whole and in crops.
#pragma once

#include "models/common/definition.h"

namespace onnxport::models {

/// pixel_values [1 + crops, 3, size, size], the whole first; image_sizes int [1, 2], height and width in
/// pixels; image_attention_mask int [1 + crops, patches, patches], rectangles at the upper left corner ->
/// [num_image_tokens, hidden_size]: the crops as one image without its padding, a separator, the whole.
/// Or of several images, which have as many crops as the largest, the last ones padding: pixel_values
/// [num_images, 1 + crops, 3, size, size], image_sizes [num_images, 2], and image_attention_mask [num_images,
/// 1 + crops, patches, patches] of any dtype -> the rows of one image behind those of another.
/// Keys: img_processor, img_projection_up, img_projection_down, and vectors for separators.
Value phi4_image_features(const Scope& s, const PretrainedConfig& whole, const Inputs& inputs);

/// Generators for these inputs; `several`: for those of several images.
DummyInputGenerators phi4_image_dummies(const PretrainedConfig& whole, bool several);

}  // namespace onnxport::models
