/// Encoder-decoders of speech for clients that compute the encoder's keys and values once.
#pragma once

#include <optional>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// The parts of such a plan.
struct SpeechComponents {
  Component encoder;  ///< with the keys and values that the decoder's first call would compute
  Component step;     ///< the decoder with a past, which takes them instead of the encoder's states
};

/// Whether the state belongs to the encoder's tokens.
bool is_of_encoder(const StateSpec& state);

/// Nothing if the task has no cache.
std::optional<SpeechComponents> speech_components(const ExportPlan& plan);

}  // namespace onnxport::layout
