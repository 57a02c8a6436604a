/// Features in the places of placeholder tokens, for models whose files take images and tokens at once.
#pragma once

#include "onnxport/graph.h"

namespace onnxport::models {

/// Writes the rows of features [N, H], one after the other, over the vectors of placeholders: embeds
/// [B, S, H], placeholders bool [B, S] -> [B, S, H]. There must be a row for each placeholder; without
/// placeholders there may be none. (Tensor.masked_scatter)
Value write_features(Value embeds, Value placeholders, Value features);

/// A vector of length 1 for each token: embeds [B, S, D], and 0 where attention_mask [B, S] is 0. (ColBERT,
/// Khattab and Zaharia 2020)
Value unit_embeddings(Value embeds, Value attention_mask);

}  // namespace onnxport::models
