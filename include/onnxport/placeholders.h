/// The tokens of a prompt whose vectors features of images or sounds replace.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "onnxport/config.h"
#include "onnxport/export_macro.h"

namespace onnxport {

/// The id of those for `features`, such as "image_features": image_token_id or, in older files,
/// image_token_index, of the whole or of vision_config and audio_config. Nothing if config.json names none.
ONNXPORT_API std::optional<std::int64_t> placeholder_id(const PretrainedConfig& whole,
                                                        std::string_view features);

}  // namespace onnxport
