/// BLIP-2's Q-Former: learned queries that look at an encoder's states. (Li et al. 2023)
#pragma once

#include "models/common/definition.h"

namespace onnxport::models {

/// Text beside the queries, which tells them where to look.
struct QueryText {
  Value ids = {};   ///< int [N, T]
  Value mask = {};  ///< int [N, T]: 0 hides a token
};

/// Queries [1, Q, D], states [N, S, E] -> [N, Q, D]. D is hidden_size, E encoder_hidden_size. Throws
/// ExportError(unsupported) for positions in the scores. With text, which shares the self-attention, the
/// first norm has other keys.
Value query_states(const Scope& s, const PretrainedConfig& config, Value queries, Value states,
                   const QueryText& text = {});

}  // namespace onnxport::models
