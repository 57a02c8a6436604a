/// Encoders inside of other models, by their own configuration (`backbone_config`).
/// A ResNet as the backbone of another model.
#pragma once

#include <cstdint>
#include <vector>

#include "models/definition.h"

namespace onnxport::models {

/// The stages that a backbone gives, 0 (the stem) to `stages`, from out_features or out_indices.
std::vector<std::int64_t> backbone_stages(const PretrainedConfig& config, std::int64_t stages);

/// What an encoder of patches gives as a backbone.
struct TokenFeatures {
  std::vector<Value> states;  ///< of the chosen layers: [B, 1 + rows * columns, hidden_size]
  std::int64_t hidden_size = 0;
  Dim rows, columns;
};
/// A dinov2 or beit. Throws ExportError(unsupported) for other types, and for features as images.
TokenFeatures token_backbone(const Scope& s, const PretrainedConfig& config, Value pixel_values);
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
