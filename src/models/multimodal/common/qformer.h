/// BLIP-2's Q-Former: learned queries that look at an encoder's states. (Li et al. 2023)
#pragma once

#include "models/common/definition.h"

namespace onnxport::models {

/// The Q-Former without text: queries [1, Q, D], states [N, S, E] -> [N, Q, D]. D is hidden_size, E
/// encoder_hidden_size. Throws ExportError(unsupported) for positions in the scores.
Value query_states(const Scope& s, const PretrainedConfig& config, Value queries, Value states);

}  // namespace onnxport::models
