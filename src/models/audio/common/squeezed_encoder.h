/// SEW: an encoder of raw speech whose layers run at a lower rate than its features. (Wu et al. 2021)
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "models/audio/common/speech_encoder.h"
#include "onnxport/graph.h"

namespace onnxport::models {

/// Also reads squeeze_factor. Throws ExportError(unsupported) if config.json asks for an adapter.
struct SqueezedConfig : SpeechEncoderConfig {
  explicit SqueezedConfig(const PretrainedConfig& config);

  std::int64_t squeeze_factor;
};

struct SqueezedStates {
  std::vector<Value> states;  ///< all hidden states at the lower rate
  Value last;                 ///< [B, L, hidden_size]
};

/// Samples [B, S] -> hidden states. `layers` makes them from [B, L // squeeze_factor, hidden_size]. `eps`: of
/// the norm of the features. Keys: feature_extractor, layer_norm, feature_projection if the widths differ,
/// encoder.pos_conv_embed, encoder.upsample.projection.
SqueezedStates squeezed_states(const Scope& s, const SqueezedConfig& c, double eps, Value samples,
                               const std::function<std::vector<Value>(Value)>& layers);

}  // namespace onnxport::models
