/// Tokens of a prompt whose vectors are replaced by the features of images or sounds.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "onnxport/config.h"
#include "onnxport/export_macro.h"

namespace onnxport {

/// The id of the tokens for `features`, such as "image_features": image_token_id or, in older files,
/// image_token_index, at the top of config.json or in vision_config and audio_config. Nothing if there is
/// none.
ONNXPORT_API std::optional<std::int64_t> placeholder_id(const PretrainedConfig& whole,
                                                        std::string_view features);

}  // namespace onnxport
