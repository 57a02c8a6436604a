/// The encoder of ConvNeXt and its relatives.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// The names of keys below the base model, a stage and a block.
struct ConvNextKeys {
  std::string patches = "embeddings.patch_embeddings", patches_norm = "embeddings.layernorm";
  std::string stages = "encoder.stages", downsampling = "downsampling_layer";
  std::string depthwise = "dwconv", norm = "layernorm", up = "pwconv1", down = "pwconv2";
  std::string layer_scale = "layer_scale_parameter";
};

/// What differs between the types.
struct ConvNextVariant {
  const char* base_model = "convnext";
  bool layer_scale = false;  ///< blocks have a factor for each channel
  /// Makes the step after the activation, for the scope of a block: [B, H, W, width] -> the same.
  std::function<std::function<Value(Value)>(const Scope& block, std::int64_t width)> behind_activation = {};
  ConvNextKeys keys = {};
  double eps = 1e-6;  ///< of all norms but the last
};

/// Throws ExportError(bad_config).
struct ConvNextConfig {
  explicit ConvNextConfig(const PretrainedConfig& config);

  std::int64_t num_channels, patch_size, num_labels;
  std::vector<std::int64_t> hidden_sizes, depths;
  std::string hidden_act;
  double layer_norm_eps;
};

/// pixel_values [B, num_channels, H, W] -> the results of the stem and each stage, [B, C, H', W'].
std::vector<Value> convnext_states(const Scope& s, const ConvNextConfig& c, Value pixel_values,
                                   const ConvNextVariant& variant);

NamedValues forward_convnext(const Inputs& inputs, const Model& model, const Component& component,
                             const ConvNextVariant& variant);

/// The chosen stages, each with a norm of its own.
BackboneFeatures convnext_features(const Scope& s, const PretrainedConfig& config, Value pixel_values,
                                   const ConvNextVariant& variant);

}  // namespace onnxport::models
