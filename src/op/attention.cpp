// Attention: operands and inference.
#include "op/attention.h"

#include <cmath>

#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

using detail::make;

namespace {

constexpr const char* kUniform = "uniform";
constexpr const char* kZero = "zero";

double scale_of(const AttentionOptions& options, const Dim& head_dim, std::string_view op) {
  if (options.scale) return *options.scale;
  if (head_dim.is_constant()) return 1.0 / std::sqrt(static_cast<double>(*head_dim.constant()));
  throw ExportError(ErrorCode::shape, fmt::format("{}: the head size must be a number", op));
}

}  // namespace

Value scaled_dot_product_attention(Value query, Value key, Value value, Value mask,
                                   const AttentionOptions& options) {
  const double scale = scale_of(options, query.dim(-1), "scaled_dot_product_attention");
  return make(query.graph(), Op::scaled_dot_product_attention, {query, key, value, mask, {}, {}},
              {{"scale", scale}, {"softcap", options.softcap}, {"no_keys", std::string(kZero)}})
      .out();
}

Value detail::attention_with_sinks(Value query, Value key, Value value, Value bias, Value sinks,
                                   const AttentionOptions& options) {
  const double scale = scale_of(options, query.dim(-1), "scaled_dot_product_attention");
  return make(query.graph(), Op::scaled_dot_product_attention, {query, key, value, bias, {}, sinks},
              {{"scale", scale}, {"softcap", options.softcap}, {"no_keys", std::string(kZero)}})
      .out();
}

Value detail::uniform_attention(Value query, Value key, Value value, Value visible, Value bias,
                                const AttentionOptions& options) {
  const double scale = scale_of(options, query.dim(-1), "scaled_dot_product_attention");
  return make(query.graph(), Op::scaled_dot_product_attention, {query, key, value, visible, bias, {}},
              {{"scale", scale}, {"softcap", options.softcap}, {"no_keys", std::string(kUniform)}})
      .out();
}

AttentionResults attention(const AttentionOperands& in, std::int64_t heads, std::int64_t kv_heads,
                           const AttentionOptions& options) {
  const std::optional<Dim> head_dim = heads > 0 ? in.query.dim(-1).exact_div(heads) : std::nullopt;
  if (!head_dim) {
    throw ExportError(ErrorCode::shape,
                      fmt::format("attention: {} is not {} heads", to_string(in.query.type()), heads));
  }
  Node& node = make(in.query.graph(), Op::attention,
                    {in.query, in.key, in.value, in.past_key, in.past_value, in.mask.padding, in.mask.visible,
                     in.mask.bias, in.rope.position_ids, in.rope.frequencies, in.sinks},
                    {{"heads", heads},
                     {"kv_heads", kv_heads},
                     {"scale", scale_of(options, *head_dim, "attention")},
                     {"softcap", options.softcap},
                     {"weights", options.weights},
                     {"causal", in.mask.causal},
                     {"window", in.mask.window.value_or(0)},
                     {"no_keys", std::string(in.mask.no_keys == NoKeys::uniform ? kUniform : kZero)},
                     {"rope_scale", in.rope.scale},
                     {"interleaved", in.rope.interleaved}});
  return {node.out(0), node.out(1), node.out(2), options.weights ? node.out(3) : Value()};
}

namespace detail {

AttentionOperands attention_operands(const Node& node) {
  const auto& in = node.inputs;
  AttentionMask mask{.padding = in[kPadding],
                     .visible = in[kVisible],
                     .bias = in[kBias],
                     .causal = node.attrs.flag("causal")};
  if (const std::int64_t window = node.attrs.integer("window"); window > 0) mask.window = window;
  if (node.attrs.get<std::string>("no_keys") == kUniform) mask.no_keys = NoKeys::uniform;
  return {.query = in[kQuery],
          .key = in[kKey],
          .value = in[kValue],
          .past_key = in[kPastKey],
          .past_value = in[kPastValue],
          .mask = mask,
          .rope = {.position_ids = in[kPositionIds],
                   .frequencies = in[kFrequencies],
                   .scale = node.attrs.real("rope_scale"),
                   .interleaved = node.attrs.flag("interleaved")},
          .sinks = in[kSinks]};
}

AttentionOptions attention_options(const Node& node) {
  return {.scale = node.attrs.real("scale"),
          .softcap = node.attrs.real("softcap"),
          .weights = node.attrs.flag("weights")};
}

namespace {

void check_broadcast(const Node& node, const char* what, const Value& mask, const Shape& scores) {
  if (broadcast(mask.shape(), scores) != scores)
    reject(node, "{} {} does not broadcast to the scores {}", what, to_string(mask.shape()),
           to_string(scores));
}

void check_sinks(const Node& node, const Value& sinks, const TensorType& expected) {
  if (sinks && sinks.type() != expected)
    reject(node, "sinks {}, expected {}", to_string(sinks.type()), to_string(expected));
}

}  // namespace

Types infer_scaled_dot_product_attention(const Node& node) {
  if (node.inputs.size() != 6)
    reject(node, "expected query, key, value, and mask, bias and sinks, which may be absent");
  const TensorType& q = operand(node, 0);
  const TensorType& k = operand(node, 1);
  const TensorType& v = operand(node, 2);
  require_float(node, q);
  require_same_dtype(node, q, k);
  require_same_dtype(node, q, v);
  const bool ranks = q.shape.size() == 4 && k.shape.size() == 4 && v.shape.size() == 4;
  if (!ranks || q.shape[0] != k.shape[0] || q.shape[0] != v.shape[0] || k.shape[1] != v.shape[1] ||
      q.shape[3] != k.shape[3] || k.shape[2] != v.shape[2]) {
    reject(node, "query {}, key {} and value {} do not fit", to_string(q.shape), to_string(k.shape),
           to_string(v.shape));
  }
  if (!q.shape[1].exact_div(k.shape[1]))
    reject(node, "{} query heads are not a multiple of {} key heads", q.shape[1].str(), k.shape[1].str());
  if (const Value mask = node.inputs[3]) {
    if (mask.dtype() != DType::boolean && mask.dtype() != q.dtype)
      reject(node, "mask {}, expected bool or {}", to_string(mask.type()), to_string(q.dtype));
    check_broadcast(node, "mask", mask, {q.shape[0], q.shape[1], q.shape[2], k.shape[2]});
  }
  if (const Value bias = node.inputs[4]) {
    require_same_dtype(node, q, bias.type());
    check_broadcast(node, "bias", bias, {q.shape[0], q.shape[1], q.shape[2], k.shape[2]});
  }
  check_sinks(node, node.inputs[5], {q.dtype, {q.shape[1]}});
  const bool is_boolean = node.inputs[3] && node.inputs[3].dtype() == DType::boolean;
  if (node.inputs[5] && (is_boolean || node.inputs[4])) reject(node, "sinks need a mask of floats, or none");
  return {{q.dtype, {q.shape[0], q.shape[1], q.shape[2], v.shape[3]}}};
}

namespace {

// The shape of keys [B, S, G * D] or [B, G, S, D] with separate heads; nothing if they do not fit.
std::optional<Shape> heads_apart(const Shape& shape, std::int64_t heads) {
  if (shape.size() == 4 && shape[1] == Dim(heads)) return shape;
  if (shape.size() != 3) return {};
  const std::optional<Dim> width = shape[2].exact_div(heads);
  if (!width) return {};
  return Shape{shape[0], heads, shape[1], *width};
}

// Appends the extent of the past to that of new keys and values.
void append_past(const Node& node, Shape& key, Shape& value) {
  if (static_cast<bool>(node.inputs[kPastKey]) != static_cast<bool>(node.inputs[kPastValue]))
    reject(node, "past keys and past values must be given together");
  if (!node.inputs[kPastKey]) return;
  const TensorType& past_key = operand(node, kPastKey);
  const TensorType& past_value = operand(node, kPastValue);
  require_same_dtype(node, operand(node, kQuery), past_key);
  require_same_dtype(node, operand(node, kQuery), past_value);
  const Dim past = past_key.shape.size() == 4 ? past_key.shape[2] : Dim(0);
  if (past_key.shape != Shape{key[0], key[1], past, key[3]} ||
      past_value.shape != Shape{value[0], value[1], past, value[3]}) {
    reject(node, "the past {} and {} does not fit keys {} and values {}", to_string(past_key.shape),
           to_string(past_value.shape), to_string(key), to_string(value));
  }
  key[2] = past + key[2];
  value[2] = key[2];
}

// `scores`: [B, H, L, P + S]
void check_mask(const Node& node, DType dtype, const Shape& scores, bool same_sequence) {
  if (const Value padding = node.inputs[kPadding]) {
    const bool number = padding.dtype() == DType::boolean || is_integer(padding.dtype());
    if (!number || padding.shape() != Shape{scores[0], scores[3]})
      reject(node, "padding {}, expected bool or int [{}, {}]", to_string(padding.type()), scores[0].str(),
             scores[3].str());
  }
  if (const Value visible = node.inputs[kVisible]) {
    if (visible.dtype() != DType::boolean)
      reject(node, "visible keys {}, expected bool", to_string(visible.type()));
    check_broadcast(node, "visible keys", visible, scores);
  }
  if (const Value bias = node.inputs[kBias]) {
    if (bias.dtype() != dtype) reject(node, "bias {}, expected {}", to_string(bias.type()), to_string(dtype));
    check_broadcast(node, "bias", bias, scores);
  }
  const std::int64_t window = node.attrs.integer("window");
  if (window < 0) reject(node, "a window of {}", window);
  if (!same_sequence && (node.attrs.flag("causal") || window > 0))
    reject(node, "keys of another sequence have no order to the queries");
}

void check_rope(const Node& node, const TensorType& q, const Dim& head_dim, bool same_sequence) {
  if (static_cast<bool>(node.inputs[kPositionIds]) != static_cast<bool>(node.inputs[kFrequencies]))
    reject(node, "positions and frequencies must be given together");
  if (!node.inputs[kPositionIds]) return;
  const TensorType& positions = operand(node, kPositionIds);
  const TensorType& frequencies = operand(node, kFrequencies);
  require_integer(node, positions);
  Shape tokens = positions.shape;
  const bool of_pairs = tokens.size() == 3 && tokens[2] == frequencies.shape.at(0);
  if (of_pairs) tokens.pop_back();
  const bool rows = tokens == Shape{q.shape[0], q.shape[1]} || tokens == Shape{1, q.shape[1]};
  const bool fits = frequencies.dtype == DType::f32 && frequencies.shape.size() == 1 &&
                    frequencies.shape[0].is_constant() && head_dim.is_constant() &&
                    2 * *frequencies.shape[0].constant() <= *head_dim.constant();
  if (!rows || !fits || !same_sequence) {
    reject(node, "positions {} and frequencies {} do not fit the query {}", to_string(positions),
           to_string(frequencies), to_string(q.shape));
  }
}

}  // namespace

Types infer_attention(const Node& node) {
  if (node.inputs.size() != kAttentionOperands) reject(node, "expected {} operands", int{kAttentionOperands});
  const TensorType& q = operand(node, kQuery);
  const TensorType& k = operand(node, kKey);
  const TensorType& v = operand(node, kValue);
  require_float(node, q);
  require_same_dtype(node, q, k);
  require_same_dtype(node, q, v);
  const std::int64_t heads = node.attrs.integer("heads");
  const std::int64_t kv_heads = node.attrs.integer("kv_heads");
  const auto misfit = [&] {
    reject(node, "query {}, key {} and value {} are not {}, {} and {} heads", to_string(q.shape),
           to_string(k.shape), to_string(v.shape), heads, kv_heads, kv_heads);
  };
  if (q.shape.size() != 3 || heads < 1 || kv_heads < 1 || heads % kv_heads != 0) misfit();
  const std::optional<Dim> dim = q.shape[2].exact_div(heads);
  std::optional<Shape> key = heads_apart(k.shape, kv_heads), value = heads_apart(v.shape, kv_heads);
  if (!dim || !key || !value || (*key)[0] != q.shape[0] || (*value)[0] != q.shape[0] || (*key)[3] != *dim ||
      (*key)[2] != (*value)[2] || !dim->is_constant()) {
    misfit();
  }
  const bool same_sequence = k.shape.size() == 3 && (*key)[2] == q.shape[1];
  if (node.inputs[kPastKey] && !same_sequence) misfit();
  append_past(node, *key, *value);
  check_mask(node, q.dtype, {q.shape[0], heads, q.shape[1], (*key)[2]}, same_sequence);
  check_rope(node, q, *dim, same_sequence);
  check_sinks(node, node.inputs[kSinks], {q.dtype, {heads}});
  Types types = {
      {q.dtype, {q.shape[0], q.shape[1], heads * (*value)[3]}}, {q.dtype, *key}, {q.dtype, *value}};
  if (node.attrs.flag("weights")) types.push_back({q.dtype, {q.shape[0], heads, q.shape[1], (*key)[2]}});
  return types;
}

}  // namespace detail
}  // namespace onnxport::op
