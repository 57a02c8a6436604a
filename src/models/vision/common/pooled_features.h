/// Feature extraction with two results: an image and its mean.
#pragma once

#include "onnxport/graph.h"
#include "onnxport/middle_end.h"
#include "onnxport/op.h"

namespace onnxport::models {

class PooledFeaturesOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  AxesByName outputs() const override {
    if (task() != "feature-extraction") return VisionOnnxConfig::outputs();
    return {{"last_hidden_state", {{0, "batch_size"}, {2, "feature_height"}, {3, "feature_width"}}},
            {"pooler_output", {{0, "batch_size"}}}};
  }
};

/// hidden [B, C, H, W] and its mean [B, C] -> last_hidden_state, and pooler_output [B, C, 1, 1].
inline NamedValues pooled_features(Value hidden, Value mean) {
  return {{"last_hidden_state", hidden}, {"pooler_output", op::unsqueeze(op::unsqueeze(mean, 2), 3)}};
}

}  // namespace onnxport::models
