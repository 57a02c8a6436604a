/// The encoders of Gemma 4: patches of images of any shape, and sounds.
#pragma once

#include <cstdint>
#include <string_view>

#include "models/common/definition.h"

namespace onnxport::models {

/// pixel_values [images, patches, 3 * patch_size^2] in 0 … 1 and pixel_position_ids int [images, patches, 2],
/// column and row, -1 where there is no patch -> image_features [num_image_tokens, width]. `root` has the
/// parts vision_tower and embed_vision.
Value gemma4_image_features(const Scope& root, const PretrainedConfig& vision_config, const Inputs& inputs,
                            std::int64_t width);

/// input_features [sounds, frames, bins] and input_features_mask bool [sounds, frames] -> audio_features
/// [num_audio_tokens, width]. `root` has the parts audio_tower and embed_audio.
Value gemma4_audio_features(const Scope& root, const PretrainedConfig& audio_config, const Inputs& inputs,
                            std::int64_t width);

/// Interfaces of both.
AxesByName gemma4_image_inputs();
AxesByName gemma4_image_outputs();
AxesByName gemma4_audio_inputs();
AxesByName gemma4_audio_outputs();
DummyInputGenerators gemma4_image_dummies(const PretrainedConfig& vision_config);
DummyInputGenerators gemma4_audio_dummies(const PretrainedConfig& audio_config);

/// input_ids in which the tokens that stand for images, videos and sounds are padding.
Value without_media_tokens(const PretrainedConfig& config, Value input_ids, std::int64_t pad_token_id);

}  // namespace onnxport::models
