/// Layers that differ from each other, and what classes of transformers 5 fill in where config.json does not
/// say it.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/scope.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {

/// The attention of a layer, whose keys lie below `s`.
using LayerAttention = std::function<nn::CausalAttentionParts(const Scope& s, std::int64_t layer)>;

/// The config, with these `rope_parameters` (JSON) if it has neither them nor `rope_scaling`.
PretrainedConfig with_usual_rope(const PretrainedConfig& config, std::string_view rope_parameters);

/// RopeParameters::axes of three axes in blocks of so many pairs, where the file has no `mrope_section`:
/// transformers 5 has such defaults in the code of the model. (Version 4 does not load those files.)
void usual_sections(TextDecoderConfig& c, const std::vector<std::int64_t>& sections);

using onnxport::layer_visibility;
/// What each layer sees, by `layer_types` and sliding_window. Without `layer_types`, all layers slide but
/// those for which `full` holds. Throws ExportError(bad_config) like the layer_visibility() of
/// text_decoder_config.h.
std::vector<nn::Visibility> layer_visibility(const PretrainedConfig& config, std::int64_t layers,
                                             const std::function<bool(std::int64_t layer)>& full);

}  // namespace onnxport::models
