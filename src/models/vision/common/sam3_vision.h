/// The encoder of images of SAM 3: a Vision Transformer with windows and rotary positions, and a pyramid.
#pragma once

#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// Images [B, C, size, size] -> a level [B, fpn_hidden_size, H', W'] for each of scale_factors. `backbone`
/// and `neck`: the scopes of the parts. Throws ExportError(bad_config | unsupported).
std::vector<Value> encode_sam3_image(const Scope& backbone, const Scope& neck,
                                     const PretrainedConfig& vision_config, Value pixel_values);

}  // namespace onnxport::models
