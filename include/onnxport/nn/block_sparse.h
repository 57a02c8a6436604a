/// Attention of which each token sees only some blocks. (Zaheer et al. 2020, BigBird)
#pragma once

#include <cstdint>

#include "onnxport/graph.h"
#include "onnxport/op.h"

namespace onnxport::nn {

struct BlockSparsity {
  std::int64_t block = 64;         ///< tokens of a block
  std::int64_t random_blocks = 3;  ///< that a block sees in training, beside its neighbours
  /// A text of at most so many tokens is seen whole.
  std::int64_t longest_full() const { return (5 + 2 * random_blocks) * block; }
};

struct BlockSight {
  op::AttentionMask mask;
  Value keep = {};  ///< [B, S, 1]: what the results of attention are multiplied by, or absent
};

/// What the tokens of a text see, decided by its length at run time. In a text longer than longest_full(),
/// the first and the last block see all blocks and are seen by all; others see themselves and their
/// neighbours. The random blocks are all the first block, as in the original's evaluation, so its keys count
/// more than once. The results of padding become 0 there.
/// attention_mask [B, S] of 0 and 1; `dtype`: that of the scores. Throws ExportError(bad_config) for numbers
/// that are negative or too large.
ONNXPORT_API BlockSight block_sight(Value attention_mask, const BlockSparsity& p, DType dtype);

}  // namespace onnxport::nn
