/// The tasks of raw speech encoders.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Layers of a time delay network, and the output size.
struct XVectorParameters {
  std::vector<std::int64_t> channels, kernels, dilations;
  std::int64_t output_size = 512;
};

struct SpeechHeadParameters {
  std::int64_t hidden_size = 0;
  std::int64_t output_size = 0;  ///< width after the encoder's adapter, if it has one
  std::int64_t vocab_size = 0;
  std::int64_t num_labels = 2;
  std::int64_t projection_size = 256;
  /// Classifiers take a weighted sum of all hidden states instead of the last ones. Key: layer_weights.
  bool weighted_layer_sum = false;
  XVectorParameters xvector = {};
};

/// Outputs of `task`: last_hidden_state; logits; or logits and embeddings. `states` are all hidden states of
/// the encoder, and `last` is the model's output. Keys at the root scope `s`: lm_head; projector, classifier;
/// tdnn.{i}.kernel, feature_extractor. `real` bool [B, L]: the frames whose mean classifies the audio;
/// absent: all.
ONNXPORT_API NamedValues build_speech_task(const std::string& task, const std::vector<Value>& states,
                                           Value last, const Scope& s, const SpeechHeadParameters& p,
                                           Value real = {});

}  // namespace onnxport::nn
