#include "models/decoders/common/shared_keys.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::models {

std::optional<std::int64_t> source_of_keys(const std::vector<nn::Visibility>& visible, std::int64_t first,
                                           std::int64_t layer) {
  if (layer < first) return {};
  const auto slides = [&](std::int64_t i) {
    return visible.at(static_cast<std::size_t>(i)).window.has_value();
  };
  std::int64_t source = first - 1;
  while (source >= 0 && slides(source) != slides(layer)) --source;
  if (source < 0) throw ExportError(ErrorCode::bad_config, "no layer of this type has keys to share");
  return source;
}

SharedKeyAttention::SharedKeyAttention(nn::CausalAttentionParts parts, nn::Visibility visible,
                                       std::optional<std::int64_t> source)
    : parts_(std::move(parts)), visible_(visible), source_(source) {}

Value SharedKeyAttention::operator()(Value x, nn::DecoderPass& pass, KeptKeys& kept) const {
  const nn::CausalAttentionParts& p = parts_;
  const ModulePath at(x, p.path);
  nn::QueryKeyValue now = p.qkv(x, pass);
  now.query = p.query_norm(now.query);
  if (!source_) now.key = p.key_norm(now.key);
  const op::Rope rope = (*p.rotary)(pass.position_ids());
  const op::AttentionOperands operands =
      source_ ? with_shared(now.query, rope, pass, kept.at(*source_)) : with_own(now, rope, pass);
  const std::string weights = fmt::format("attentions.{}", p.layer);
  op::AttentionOptions options = p.options;
  options.weights = pass.wants(weights);
  const op::AttentionResults made = op::attention(operands, p.sizes.heads, p.sizes.kv_heads, options);
  if (options.weights) pass.give(weights, made.weights);
  if (source_) return p.output(made.output);
  kept[p.layer] = {made.key, made.value};
  pass.keep(p.layer, kept[p.layer]);
  if (visible_.window && *visible_.window > 1 && !pass.has_past()) pass.crop(p.layer, *visible_.window - 1);
  return p.output(made.output);
}

op::AttentionOperands SharedKeyAttention::with_own(const nn::QueryKeyValue& now, const op::Rope& rope,
                                                   const nn::DecoderPass& pass) const {
  const nn::KeyValue past = pass.past(parts_.layer);
  return {.query = now.query,
          .key = now.key,
          .value = now.value,
          .past_key = past.key,
          .past_value = past.value,
          .mask = pass.mask(visible_),
          .rope = rope};
}

op::AttentionOperands SharedKeyAttention::with_shared(Value query, const op::Rope& rope,
                                                      const nn::DecoderPass& pass,
                                                      const nn::KeyValue& kept) const {
  const op::AttentionMask mask{.padding = pass.attention_mask(), .visible = ordered(pass)};
  return {.query = nn::turned(query, rope, parts_.sizes.heads),
          .key = kept.key,
          .value = kept.value,
          .mask = mask};
}

Value SharedKeyAttention::ordered(const nn::DecoderPass& pass) const {
  if (visible_.both_ways && !visible_.window) return {};
  const ModulePath at(pass.graph(), "attention_mask");
  const Value key = op::arange(pass.graph(), pass.total_length());
  const Value query = op::unsqueeze(op::arange(pass.graph(), pass.length(), pass.past_length()), 1);
  Value seen = visible_.both_ways ? Value() : op::le(key, query);
  if (visible_.window) {
    const auto window = static_cast<double>(*visible_.window);
    if (visible_.both_ways) seen = op::lt(key, op::add(query, window));
    const Value first = op::sub(query, window);
    seen = op::logical_and(seen, op::gt(key, first));
  }
  return op::unsqueeze(op::unsqueeze(seen, 0), 0);
}

}  // namespace onnxport::models
