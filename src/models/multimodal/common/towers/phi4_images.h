/// Images of Phi-4 multimodal: one image as a whole and in crops.
#pragma once

#include "models/common/definition.h"

namespace onnxport::models {

/// pixel_values [1 + crops, 3, size, size], the whole first; image_sizes int [1, 2], height and width in
/// pixels; image_attention_mask int [1 + crops, patches, patches], rectangles at the upper left corner ->
/// [num_image_tokens, hidden_size]: the crops as one image without its padding, a separator, the whole.
/// Keys: img_processor, img_projection_up, img_projection_down, and vectors for separators.
Value phi4_image_features(const Scope& s, const PretrainedConfig& whole, const Inputs& inputs);

/// Generators for these inputs.
DummyInputGenerators phi4_image_dummies(const PretrainedConfig& whole);

}  // namespace onnxport::models
