/// Backbones of detectors: networks of convolutions.
#pragma once

#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// Images [B, C, H', W'], at least one, of the backbone that use_timm_backbone, backbone, backbone_config,
/// backbone_kwargs and dilation of a configuration describe: a model of the library timm, by default
/// resnet50, or a type with the role of a backbone. Throws ExportError(bad_config | unsupported) for stages
/// that do not exist and for any other backbone. `first_stage`: of a ResNet of timm whose configuration does
/// not name its stages.
std::vector<Value> detector_backbone(const TasksManager& tasks, const Scope& s,
                                     const PretrainedConfig& config, Value pixel_values,
                                     std::int64_t first_stage = 1);

/// The same for a type with the role of a backbone, which `backbone` describes. Names the configuration `c`
/// in errors.
std::vector<Value> registered_backbone(const TasksManager& tasks, const Scope& s, const PretrainedConfig& c,
                                       const PretrainedConfig& backbone, Value pixel_values);

}  // namespace onnxport::models
