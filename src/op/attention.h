/// The parts of attention() that its decomposition and the forms of targets share.
#pragma once

#include <cstddef>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::op::detail {

/// Positions of the operands of an attention node.
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
  kSinks,
  kAttentionOperands,  ///< their number
};

/// The arguments from which the functions of op.h made the node.
AttentionOperands attention_operands(const Node& node);
AttentionOptions attention_options(const Node& node);

/// scaled_dot_product_attention() in which scores become the lowest value where `visible` is false. A query
/// that sees no key attends to all keys equally. `bias` may be absent.
Value uniform_attention(Value query, Value key, Value value, Value visible, Value bias,
                        const AttentionOptions& options);

/// scaled_dot_product_attention() with a score [H] beside those of the keys. `bias` and `sinks` may be
/// absent.
Value attention_with_sinks(Value query, Value key, Value value, Value bias, Value sinks,
                           const AttentionOptions& options);

/// bool, broadcasts to [B, H, L, P + S]: the keys that the mask of an attention node allows; absent: all
/// keys.
Value visible_keys(const Node& node, const AttentionMask& mask);
/// 1 for a query that sees a key, 0 for others: [..., L or 1, 1]
Value sees_any(Value visible, DType dtype);
/// The softmax of the scores of an attention node: query [B, H, L, D], which is scaled, and key [B, G, P + S,
/// D] -> [B, H, L, P + S].
Value attention_weights(const Node& node, Value query, Value key);
/// Their products with values [B, G, P + S, E] -> [B, H, L, E].
Value attention_context(Value weights, Value value);

/// Whether adding the lowest value to a score is not enough to hide it. In half precision, the lowest value
/// does not swallow the score, even less if a runtime computes in float32.
bool needs_replaced_scores(const Node& node);

/// Whether the order of the keys hides some of them.
inline bool has_order(const AttentionMask& mask) { return mask.causal || mask.window; }

/// Whether every query sees a key for any input, as when only the order hides keys.
bool always_sees_a_key(const AttentionMask& mask);

/// Rewrites of an attention node as a simpler one. Each returns the three results.

/// Rotates queries and keys before the node.
std::vector<Value> with_rotated_operands(const Node& node);
/// Turns the whole mask into `visible` [B or 1, H or 1, L, P + S]. Exact if the mask has no bias; for
/// NoKeys::uniform, only if every query sees a key.
std::vector<Value> with_visible_keys(const Node& node);
/// Turns the whole mask into `bias` [B or 1, H or 1, L, P + S]. For NoKeys::zero, the result of a query that
/// sees no key is multiplied by 0. With `keep_order`, the rewritten node stays causal and keeps its window.
std::vector<Value> with_bias(const Node& node, bool keep_order);

}  // namespace onnxport::op::detail
