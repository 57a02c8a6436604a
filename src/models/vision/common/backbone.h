/// Shared parts of types with the role of a backbone.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// Whether a backbone counts its stem as the first stage.
enum class BackboneStem : std::uint8_t { first, none };

/// The stages that a configuration selects with out_features or out_indices, from 0 (the stem) to `stages`.
/// Without a stem, they begin at 1, which has the index 0.
std::vector<std::int64_t> backbone_stages(const PretrainedConfig& config, std::int64_t stages,
                                          BackboneStem stem = BackboneStem::first);
/// The same for an encoder of patches, whose layers are the stages.
std::vector<std::int64_t> token_stages(const PretrainedConfig& config);

/// Selects the chosen states from those of a stem and all stages.
BackboneFeatures stage_features(const std::vector<Value>& states, const std::vector<std::int64_t>& stages);
/// The features of an encoder of patches: its chosen states [B, learned + patches, H], as images without the
/// learned tokens if reshape_hidden_states is true.
BackboneFeatures token_features(const PretrainedConfig& config, Value pixel_values, std::vector<Value> chosen,
                                std::int64_t learned = 1);

/// The tokens of a backbone before those of its patches, such as a class token; nothing if it returns images.
std::optional<std::int64_t> learned_before(const BackboneFeatures& features);

/// The features of the backbone with this configuration. `s`: the root of its keys.
BackboneFeatures run_backbone(const TasksManager& tasks, const Scope& s, const PretrainedConfig& config,
                              Value pixel_values);
/// The configuration of the backbone inside of a model: backbone_config, or `otherwise` (JSON) if the file
/// has none. Throws ExportError(unsupported) for a backbone of timm, and for one that only has a name.
PretrainedConfig own_backbone_config(const PretrainedConfig& config, const char* otherwise);

}  // namespace onnxport::models
