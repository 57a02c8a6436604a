/// Shared parts of ConvNeXt and ConvNeXt V2: everything except the inside of a block's feed-forward.
#pragma once

#include <cstdint>
#include <functional>

#include "onnxport/graph.h"
#include "onnxport/inputs.h"
#include "onnxport/middle_end.h"
#include "onnxport/model.h"
#include "onnxport/scope.h"

namespace onnxport::models {

struct ConvNextVariant {
  const char* base_model = "convnext";
  bool layer_scale = false;  ///< blocks have a factor for each channel. Key: layer_scale_parameter
  /// Makes the step after the activation, for the scope of a block: [B, H, W, width] -> the same.
  std::function<std::function<Value(Value)>(const Scope& block, std::int64_t width)> behind_activation = {};
};

class ConvNextOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
};

NamedValues forward_convnext(const Inputs& inputs, const Model& model, const Component& component,
                             const ConvNextVariant& variant);

}  // namespace onnxport::models
