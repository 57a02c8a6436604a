/// A ResNet as the backbone of another model.
#pragma once

#include <cstdint>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {

struct ResNetBackbone {
  nn::ResNetParameters resnet;
  std::vector<std::int64_t> stages;  ///< that are looked at, counted from 1; at least one

  /// Channels of the i-th stage that is looked at.
  std::int64_t channels(std::size_t i) const {
    return resnet.hidden_sizes[static_cast<std::size_t>(stages[i]) - 1];
  }
};

/// What use_timm_backbone, backbone, backbone_config, backbone_kwargs and dilation of a configuration say, in
/// which the backbone is by default timm's resnet50. Throws ExportError(bad_config | unsupported) for stages
/// that are not there and for a backbone that is no ResNet.
ResNetBackbone resnet_backbone(const PretrainedConfig& config);

}  // namespace onnxport::models
