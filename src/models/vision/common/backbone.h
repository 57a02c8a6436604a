/// Shared parts of types with the role of a backbone.
#pragma once

#include <cstdint>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// Whether a backbone counts its stem as the first stage.
enum class BackboneStem : std::uint8_t { first, none };

/// The stages that a configuration selects with out_features or out_indices, from 0 (the stem) to `stages`.
/// Without a stem, they begin at 1, which has the index 0.
std::vector<std::int64_t> backbone_stages(const PretrainedConfig& config, std::int64_t stages,
                                          BackboneStem stem = BackboneStem::first);
/// The same for an encoder of patches, whose layers are the stages. Throws ExportError(unsupported) if the
/// configuration asks for images.
std::vector<std::int64_t> token_stages(const PretrainedConfig& config);

/// Selects the chosen states from those of a stem and all stages.
BackboneFeatures stage_features(const std::vector<Value>& states, const std::vector<std::int64_t>& stages);
/// The same for an encoder of patches: tokens.
BackboneFeatures token_features(const PretrainedConfig& config, Value pixel_values,
                                const std::vector<Value>& states, const std::vector<std::int64_t>& stages);

}  // namespace onnxport::models
