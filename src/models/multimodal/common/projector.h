/// Between a vision tower and a language model.
#pragma once

#include <cstdint>
#include <string>

#include "models/common/definition.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {

/// The hidden states of `vision_feature_layer` [B, S, H], which counts the embeddings as 0 and from the end
/// below 0; of several layers, side by side [B, S, n * H]. vision_feature_select_strategy says whether the
/// class token in front is left out (`default`) or kept (`full`). Throws ExportError(bad_config) for a layer
/// that the tower does not have and for another strategy.
Value chosen_features(const PretrainedConfig& config, const EncoderStates& tower);

struct ProjectorParameters {
  std::int64_t in = 0, out = 0;
  std::string activation = "gelu";
  bool bias = true;
};

/// x [B, S, in] -> linear_2(activation(linear_1(x))) [B, S, out].
struct TwoLayerProjector {
  TwoLayerProjector(const Scope& s, const ProjectorParameters& p);
  Value operator()(Value x) const;

  std::string path;
  nn::Linear first, second;
  nn::Activation activation;
};

}  // namespace onnxport::models
