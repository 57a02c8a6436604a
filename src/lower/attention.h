/// Forms of attention that are contrib operators of ONNX Runtime.
#pragma once

#include "lower/emitter.h"
#include "lower/target.h"

namespace onnxport::lower {

/// MultiHeadAttention needs as many key heads as query heads, and a mask that is a bias [B or 1, H or 1, L,
/// S], only the order, or only padding.
bool fits_multi_head(const Node& node, const Target& target);
Lowered lower_multi_head(Emitter& e, const Node& node);

/// GroupQueryAttention, if the target asks for it: causal, with a past, with padding as a bias, and maybe
/// with sinks.
bool fits_group_query(const Node& node, const Target& target);
Lowered lower_group_query(Emitter& e, const Node& node);

/// Rewrites that lead to one of these: rotated operands (for any attention), the whole mask as a bias, and
/// the same for GroupQueryAttention, which stays causal.
bool fits_contrib_rotation(const Node& node, const Target& target);
bool fits_contrib_bias(const Node& node, const Target& target);
bool fits_ordered_bias(const Node& node, const Target& target);

/// RotaryEmbedding. Its tables are the computed cosines and sines, one row per token of the batch.
bool fits_contrib_rotary(const Node& node, const Target& target);
Lowered lower_contrib_rotary(Emitter& e, const Node& node);

}  // namespace onnxport::lower
