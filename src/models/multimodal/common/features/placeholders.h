/// Features in the places of placeholder tokens, for models whose files take images and tokens at once.
#pragma once

#include "onnxport/config.h"
#include "onnxport/graph.h"
#include "onnxport/inputs.h"

namespace onnxport::models {

/// Writes the rows of features [N, H], one after the other, over the vectors of placeholders: embeds
/// [B, S, H], placeholders bool [B, S] -> [B, S, H]. There must be a row for each placeholder; where there is
/// no row at all, placeholders keep their vectors. (Tensor.masked_scatter)
Value write_features(Value embeds, Value placeholders, Value features);

/// Does so with all features among the inputs (image_features, audio_features), in the output inputs_embeds.
/// `whole` has the ids of their placeholders (placeholder_id()).
void write_all_features(const PretrainedConfig& whole, const Inputs& inputs, NamedValues& outputs);

/// A vector of length 1 for each token: embeds [B, S, D], and 0 where attention_mask [B, S] is 0. (ColBERT,
/// Khattab and Zaharia 2020)
Value unit_embeddings(Value embeds, Value attention_mask);

}  // namespace onnxport::models
