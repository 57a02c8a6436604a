/// Between a vision tower and a language model.
#pragma once

#include <cstdint>
#include <string>

#include "models/common/definition.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {

/// The hidden states of the layers that a key names: [B, S, H], and of several side by side [B, S, n * H].
/// The embeddings are layer 0, and numbers below 0 count from the end. Throws ExportError(bad_config) for a
/// layer that the tower does not have.
Value layers_of(const PretrainedConfig& config, const char* key, const EncoderStates& tower);
/// x [B, 1 + S, H] -> [B, S, H]
Value without_class_token(Value x);
/// The layers of vision_feature_layer. vision_feature_select_strategy says whether the class token in front
/// is left out (`default`) or kept (`full`); throws ExportError(bad_config) for another.
Value chosen_features(const PretrainedConfig& config, const EncoderStates& tower);

/// The tokens of an image that lie in a square of side * side become one: [B, S, H] -> [B, S / side^2, side^2
/// * H], row by row in the square. S must be a number, the square of a multiple of `side`; else throws
/// ExportError(bad_config) that names `origin`.
Value merge_squares(Value x, std::int64_t side, const std::string& origin);

/// The image features of LLaVA: the tower of vision_config, projected.
Value llava_features(const TasksManager& tasks, const Inputs& inputs, const Model& model);

struct ProjectorParameters {
  std::int64_t in = 0, out = 0;
  std::int64_t inner = 0;  ///< between the layers; 0: that of the result
  std::string activation = "gelu";
  bool bias = true;
  std::string first = "linear_1", second = "linear_2";
};

/// x [..., in] -> second(activation(first(x))) [..., out].
struct TwoLayerProjector {
  TwoLayerProjector(const Scope& s, const ProjectorParameters& p);
  Value operator()(Value x) const;

  std::string path;
  nn::Linear first, second;
  nn::Activation activation;
};

struct GatedProjectorParameters {
  std::int64_t in = 0, inner = 0, out = 0;
};

/// x [B, S, in] -> linear_1 gives values and a gate [B, S, inner / 2] each -> linear_2(silu(gate) * values)
/// [B, S, out].
struct GatedProjector {
  GatedProjector(const Scope& s, const GatedProjectorParameters& p);
  Value operator()(Value x) const;

  std::string path;
  nn::Linear first, second;
};

}  // namespace onnxport::models
