/// The parts of attention() that its decomposition and the forms of targets share.
#pragma once

#include <cstddef>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::op::detail {

/// Places of the operands of an attention node.
enum AttentionOperand : std::size_t {
  kQuery,
  kKey,
  kValue,
  kPastKey,
  kPastValue,
  kPadding,
  kVisible,
  kBias,
  kPositionIds,
  kFrequencies,
  kAttentionOperands,  ///< their number
};

/// What the functions of op.h made the node of.
AttentionOperands attention_operands(const Node& node);
AttentionOptions attention_options(const Node& node);

/// scaled_dot_product_attention() whose scores become the lowest value where `visible` is false: a query that
/// sees no key attends to all of them alike. `bias` may be absent.
Value uniform_attention(Value query, Value key, Value value, Value visible, Value bias,
                        const AttentionOptions& options);

/// Is adding the lowest value to a score not enough to hide it? In half precision it swallows no score, all
/// the less where a runtime computes in float32.
bool needs_replaced_scores(const Node& node);

/// Does the order of the keys hide some of them?
inline bool has_order(const AttentionMask& mask) { return mask.causal || mask.window; }

/// Does every query see a key, whatever the inputs? So it is where the order alone hides keys.
bool always_sees_a_key(const AttentionMask& mask);

/// Rewrites of an attention node as a simpler one. Each gives the three results.

/// With queries and keys rotated in front of it.
std::vector<Value> with_rotated_operands(const Node& node);
/// With all of its mask as `visible` [B or 1, H or 1, L, P + S]. Exact where the mask has no bias, and
/// for NoKeys::uniform only where every query sees a key.
std::vector<Value> with_visible_keys(const Node& node);
/// With all of its mask as `bias` [B or 1, H or 1, L, P + S]; for NoKeys::zero the result is multiplied by 0
/// where a query sees no key. The rewritten node is still causal, and has its window, where `keep_order`.
std::vector<Value> with_bias(const Node& node, bool keep_order);

}  // namespace onnxport::op::detail
