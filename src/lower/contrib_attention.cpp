// Attention and rotary embeddings as contrib operators of ONNX Runtime.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "lower/attention.h"
#include "lower/forms.h"
#include "op/attention.h"

namespace onnxport::lower {
namespace {

using namespace op::detail;  // NOLINT: the places of attention's operands, and its rewrites

bool is_half_or_single(const Value& x) { return x.dtype() == DType::f32 || x.dtype() == DType::f16; }

// Whether the bias has the shape [B or 1, H or 1, L, P + S] that the kernels need.
bool is_whole_bias(const Node& node) {
  const Value bias = node.inputs[kBias];
  const Value query = node.inputs[kQuery];
  if (!bias || bias.rank() != 4) return false;
  const bool rows = bias.dim(0) == Dim(1) || bias.dim(0) == query.dim(0);
  const bool heads = bias.dim(1) == Dim(1) || bias.dim(1) == Dim(node.attrs.integer("heads"));
  return rows && heads && bias.dim(2) == query.dim(1) && bias.dim(3) == node.outputs[1].shape[2];
}

// Whether it can become MultiHeadAttention after its mask is rewritten. In float32, not if keys already have
// separate heads, like cached encoder keys: for one new token, the CPU kernel of ONNX Runtime 1.31 is then
// slower than the products that it replaces (Whisper-base, 1500 states: 0.7 ms instead of 0.5 ms).
bool leads_to_multi_head(const Node& node, const Target& target) {
  const op::AttentionOperands in = attention_operands(node);
  const bool same_width = node.outputs[1].shape[3] == node.outputs[2].shape[3];
  return target.runtime == Runtime::ort && !node.attrs.flag("weights") && is_half_or_single(in.query) &&
         !in.rope && !in.sinks && !needs_replaced_scores(node) &&
         node.attrs.integer("heads") == node.attrs.integer("kv_heads") && node.attrs.real("softcap") == 0 &&
         (same_width || !in.past_key) && in.key.rank() == in.value.rank() &&
         (in.key.rank() == 3 || in.query.dtype() != DType::f32);
}

// Whether it can become GroupQueryAttention. This operator is causal whatever its bias, so a query that sees
// no key cannot attend to later ones. The kernel needs a head size that is a multiple of 8.
bool leads_to_group_query(const Node& node, const Target& target) {
  const op::AttentionOperands in = attention_operands(node);
  const bool sees_a_key = in.mask.no_keys == op::NoKeys::zero || always_sees_a_key(in.mask) || in.sinks ||
                          target.group_query == GroupQuery::right_padding;
  return target.runtime == Runtime::ort && target.group_query != GroupQuery::never &&
         !node.attrs.flag("weights") && is_half_or_single(in.query) && !in.rope && in.mask.causal &&
         in.past_key && node.attrs.real("softcap") == 0 &&
         node.outputs[1].shape[3] == node.outputs[2].shape[3] && node.outputs[1].shape[3].exact_div(8) &&
         sees_a_key;
}

// Whether all heads of a query see the same keys, so that one factor serves all of them.
bool heads_see_alike(const op::AttentionMask& mask) {
  return !mask.visible || (mask.visible.rank() == 4 && mask.visible.dim(1) == Dim(1));
}

// The place of the last token in each row of a mask that has padding only behind the tokens.
std::string last_tokens(Emitter& e, const std::string& mask, DType dtype) {
  constexpr int kAxesAsOperand = 13;
  const std::string count =
      e.emit_with_axes("ReduceSum", mask, {1}, kAxesAsOperand, {{"keepdims", std::int64_t{0}}});
  return e.cast(e.emit("Sub", {count, e.scalar(1, dtype)}), DType::i32);
}

std::string width_of(Emitter& e, const std::string& mask) {
  return e.emit("Gather", {e.emit("Shape", {mask}), e.scalar(1, DType::i64)}, {{"axis", std::int64_t{0}}});
}

}  // namespace

bool fits_multi_head(const Node& node, const Target& target) {
  if (!leads_to_multi_head(node, target)) return false;
  const op::AttentionMask mask = attention_operands(node).mask;
  if (mask.visible || mask.window) return false;
  if (mask.bias) return !mask.padding && is_whole_bias(node);
  // A mask that is only padding uses the lowest value, which swallows every score.
  return !mask.padding || (!mask.causal && !node.inputs[kPastKey] && mask.no_keys == op::NoKeys::uniform);
}

Lowered lower_multi_head(Emitter& e, const Node& node) {
  const Names in = e.names_of(node.inputs);
  OnnxAttrs attrs = {{"num_heads", node.attrs.integer("heads")},
                     {"scale", static_cast<float>(node.attrs.real("scale"))}};
  std::string padding;
  if (!in[kPadding].empty()) {
    padding = e.shared("attention_mask", "key_padding " + in[kPadding],
                       [&] { return e.cast(in[kPadding], DType::i32); });
    attrs.emplace_back("mask_filter_value", static_cast<float>(lowest(node.outputs[0].dtype)));
  }
  if (node.attrs.flag("causal")) attrs.emplace_back("unidirectional", std::int64_t{1});
  const std::vector<bool> wanted = {true, e.is_used(node, 1), e.is_used(node, 2)};
  return e.emit_wanted(
      contrib("MultiHeadAttention"), wanted,
      {in[kQuery], in[kKey], in[kValue], "", padding, in[kBias], in[kPastKey], in[kPastValue]},
      std::move(attrs));
}

bool fits_group_query(const Node& node, const Target& target) {
  if (!leads_to_group_query(node, target)) return false;
  const op::AttentionMask mask = attention_operands(node).mask;
  if (mask.visible) return false;
  if (target.group_query == GroupQuery::right_padding) return mask.padding && !mask.bias;
  return !mask.padding && (!mask.bias || is_whole_bias(node));
}

Lowered lower_group_query(Emitter& e, const Node& node) {
  const Names in = e.names_of(node.inputs);
  const Dim& batch = node.outputs[1].shape[0];
  const Dim& total = node.outputs[1].shape[2];
  OnnxAttrs attrs = {{"num_heads", node.attrs.integer("heads")},
                     {"kv_num_heads", node.attrs.integer("kv_heads")},
                     {"scale", static_cast<float>(node.attrs.real("scale"))}};
  if (const std::int64_t window = node.attrs.integer("window"); window > 0)
    attrs.emplace_back("local_window_size", window);
  const std::string& padding = in[kPadding];
  const std::string last = e.shared("attention_mask", "last " + total.str(), [&] {
    if (!padding.empty()) return last_tokens(e, padding, node.inputs[kPadding].dtype());
    // All rows get the length of the longest one; the bias handles their padding.
    const std::string index = e.emit("Sub", {e.dim(total), e.ints({1})});
    return e.cast(e.emit("Expand", {index, e.dim(batch)}), DType::i32);
  });
  const std::string length = e.shared("attention_mask", "total " + total.str(), [&] {
    // The past may be a buffer that is longer than the tokens in it. The mask is not.
    return e.cast(padding.empty() ? e.scalar_dim(total) : width_of(e, padding), DType::i32);
  });
  return e.emit_all(contrib("GroupQueryAttention"), 3,
                    {in[kQuery], in[kKey], in[kValue], in[kPastKey], in[kPastValue], last, length, "", "", "",
                     in[kBias], in[kSinks]},
                    std::move(attrs));
}

bool fits_contrib_rotation(const Node& node, const Target& target) {
  const op::AttentionOperands in = attention_operands(node);
  return target.runtime == Runtime::ort && in.rope && is_half_or_single(in.query);
}

bool fits_contrib_bias(const Node& node, const Target& target) {
  const op::AttentionMask mask = attention_operands(node).mask;
  return leads_to_multi_head(node, target) && heads_see_alike(mask) &&
         (mask.padding || mask.visible || mask.bias || has_order(mask));
}

bool fits_ordered_bias(const Node& node, const Target& target) {
  const op::AttentionMask mask = attention_operands(node).mask;
  return target.group_query == GroupQuery::any_padding && leads_to_group_query(node, target) &&
         heads_see_alike(mask) && (mask.padding || mask.visible || mask.bias);
}

bool fits_contrib_rotary(const Node& node, const Target& target) {
  return target.runtime == Runtime::ort && is_half_or_single(node.inputs[0]) && node.inputs[0].rank() == 3;
}

Lowered lower_contrib_rotary(Emitter& e, const Node& node) {
  const Value x = node.inputs[0], cos = node.inputs[1];
  const std::int64_t heads = node.attrs.integer("heads");
  const std::int64_t half = *cos.dim(2).constant();
  const auto table = [&](const Value& angles) {
    const std::string name = e.name_of(angles);
    return e.shared("rotary_emb", "table " + name,
                    [&] { return e.emit("Reshape", {name, e.ints({-1, half})}); });
  };
  std::string rows = e.ints({0});  // position of the first token, if all rows have the same positions
  if (cos.dim(0) != Dim(1)) {
    const Dim tokens = x.dim(0) * x.dim(1);
    rows = e.shared("rotary_emb", "rows " + to_string(Shape{x.dim(0), x.dim(1)}), [&] {
      const std::string count =
          e.emit("Range", {e.scalar(0, DType::i64), e.scalar_dim(tokens), e.scalar(1, DType::i64)});
      return e.emit("Reshape", {count, e.dims({x.dim(0), x.dim(1)})});
    });
  }
  const std::string cosines = table(cos);
  const std::string sines = table(node.inputs[2]);
  OnnxAttrs attrs;
  if (node.attrs.flag("interleaved")) attrs.emplace_back("interleaved", std::int64_t{1});
  if (2 * half != *x.dim(2).constant() / heads) {
    attrs.emplace_back("num_heads", heads);
    attrs.emplace_back("rotary_embedding_dim", 2 * half);
  }
  return e.emit(contrib("RotaryEmbedding"), {e.name_of(x), rows, cosines, sines}, std::move(attrs));
}

}  // namespace onnxport::lower
