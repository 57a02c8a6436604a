// Forms of attention and rotary embeddings.
#include "op/attention.h"

#include <algorithm>

#include "lower/attention.h"
#include "lower/forms.h"
#include "onnx/element_type.h"

namespace onnxport::lower {
namespace {

using namespace op::detail;  // NOLINT: the places of attention's operands, and its rewrites

// ---- ai.onnx, opset 23 ----

// With a boolean mask, a query that sees no key returns 0 in this operator too (ONNX 1.23, errata of
// Attention). With a float mask of lowest values, the specification does not define the result, and ONNX
// Runtime 1.31 differs from the originals, so such masks use the decomposition. So does half precision, to
// get the same sums as the original.
bool leads_to_attention(const Node& node, const Target& target) {
  const op::AttentionOperands in = attention_operands(node);
  return !node.attrs.flag("weights") && target.runtime == Runtime::any && target.opset >= 23 &&
         node.outputs[0].dtype == DType::f32 && in.key.rank() == 3 && !in.mask.bias && !in.sinks &&
         (in.mask.no_keys == op::NoKeys::zero || always_sees_a_key(in.mask)) &&
         (!in.rope || in.rope.position_ids.dim(0) == in.query.dim(0));
}

bool fits_attention(const Node& node, const Target& target) {
  const op::AttentionOperands in = attention_operands(node);
  return leads_to_attention(node, target) && !in.rope && !in.mask.padding && !has_order(in.mask);
}
bool fits_visible_keys(const Node& node, const Target& target) {
  const op::AttentionMask mask = attention_operands(node).mask;
  return leads_to_attention(node, target) && (mask.padding || has_order(mask));
}
bool fits_rotation(const Node& node, const Target& target) {
  return leads_to_attention(node, target) && attention_operands(node).rope;
}

Lowered lower_attention(Emitter& e, const Node& node) {
  const Names in = e.names_of(node.inputs);
  OnnxAttrs attrs = {{"q_num_heads", node.attrs.integer("heads")},
                     {"kv_num_heads", node.attrs.integer("kv_heads")},
                     {"scale", static_cast<float>(node.attrs.real("scale"))}};
  if (const double cap = node.attrs.real("softcap"); cap != 0)
    attrs.emplace_back("softcap", static_cast<float>(cap));
  return e.emit_all("Attention", 3,
                    {in[kQuery], in[kKey], in[kValue], in[kVisible], in[kPastKey], in[kPastValue]},
                    std::move(attrs));
}

// ---- rotary positions ----

bool fits_rotary(const Node& node, const Target& target) {
  const Value x = node.inputs[0];
  return target.opset >= 23 && x.dtype() == DType::f32 && x.rank() == 3 && node.inputs[1].dim(0) == x.dim(0);
}

Lowered lower_rotary(Emitter& e, const Node& node) {
  const Value x = node.inputs[0];
  const std::int64_t heads = node.attrs.integer("heads");
  OnnxAttrs attrs = {{"num_heads", heads}};
  if (node.attrs.flag("interleaved")) attrs.emplace_back("interleaved", std::int64_t{1});
  const std::int64_t rotated = 2 * *node.inputs[1].dim(2).constant();
  if (rotated != *x.dim(2).constant() / heads) attrs.emplace_back("rotary_embedding_dim", rotated);
  return e.emit("RotaryEmbedding", e.names_of(node.inputs), std::move(attrs));
}

}  // namespace

std::span<const Form> forms_rotary_embedding() {
  static constexpr Form forms[] = {
      {.name = "com.microsoft.RotaryEmbedding", .fits = fits_contrib_rotary, .lower = lower_contrib_rotary},
      {.name = "RotaryEmbedding", .fits = fits_rotary, .lower = lower_rotary},
  };
  return forms;
}

std::span<const Form> forms_attention() {
  static constexpr Form forms[] = {
      {.name = "com.microsoft.GroupQueryAttention", .fits = fits_group_query, .lower = lower_group_query},
      {.name = "com.microsoft.MultiHeadAttention", .fits = fits_multi_head, .lower = lower_multi_head},
      {.name = "rotated operands", .fits = fits_contrib_rotation, .expand = with_rotated_operands},
      {.name = "bias in order",
       .fits = fits_ordered_bias,
       .expand = [](const Node& node) { return with_bias(node, true); }},
      {.name = "bias",
       .fits = fits_contrib_bias,
       .expand = [](const Node& node) { return with_bias(node, false); }},
      {.name = "Attention", .fits = fits_attention, .lower = lower_attention},
      {.name = "visible keys", .fits = fits_visible_keys, .expand = with_visible_keys},
      {.name = "rotated operands", .fits = fits_rotation, .expand = with_rotated_operands},
  };
  return forms;
}

std::span<const Form> forms_scaled_dot_product_attention() { return {}; }

}  // namespace onnxport::lower
