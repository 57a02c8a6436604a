// Doge. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/doge/modeling_doge.py
#include <optional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Settings {
  std::optional<std::int64_t> window;
  std::optional<std::int64_t> keep;  // so many keys at most, where there can be more

  explicit Settings(const PretrainedConfig& c) : window(c.maybe_integer("sliding_window")) {
    if (c.flag("is_moe")) {
      throw ExportError(ErrorCode::unsupported, c.origin() + ": is_moe is true, expected false");
    }
    c.harmless({"num_experts", "num_experts_per_tok", "norm_topk_prob"});  // of those
    const std::int64_t size = c.integer("keep_window_size");
    if (size < c.integer("max_position_embeddings")) keep = size;
    if (keep && window) {
      throw ExportError(ErrorCode::unsupported,
                        c.origin() +
                            ": sliding_window is set, expected null where keep_window_size is less "
                            "than max_position_embeddings");
    }
  }
};

// Each key head weighs keys by their values: an amount that is added to the scores, and by which the largest
// are chosen.
struct DynamicMaskAttention {
  std::string path;
  std::int64_t layer;
  nn::HeadSizes sizes;
  nn::CausalAttentionParts parts;  // without the mask
  nn::Linear dt_proj;
  Weight a;
  Settings settings;

  DynamicMaskAttention(const Scope& s, std::int64_t i, const TextDecoderConfig& c, const Settings& all)
      : path(s.path()),
        layer(i),
        sizes(c.heads),
        parts(c.normed_attention(s, i, {.window = all.window})),
        dt_proj(s / "dt_proj", sizes.kv_heads * sizes.head_dim, sizes.kv_heads, c.attention_bias),
        a(s.weight("A", {sizes.kv_heads})),
        settings(all) {}

  // values [B, kv_heads, T, d] -> float32 [B, kv_heads, 1, T]
  Value amounts(Value values) const {
    const Value steps = op::softplus(op::cast(dt_proj(nn::merge_heads(values)), DType::f32));
    const Value scaled = op::mul(steps, op::cast(steps.graph().weight(a), DType::f32));
    return op::unsqueeze(op::transpose(op::exp(scaled), 1, 2), 2);
  }

  // [B, kv_heads, n, T] -> [B, heads, n, T]
  Value for_queries(Value x) const {
    const std::int64_t group = sizes.heads / sizes.kv_heads;
    const Value apart = op::unsqueeze(x, 2);
    const Value often = op::expand(apart, {x.dim(0), sizes.kv_heads, group, x.dim(2), x.dim(3)});
    return op::flatten(often, 1, 2);
  }

  // Whether a key is among the `keep` largest that a query sees: [B, kv_heads, S, T].
  Value chosen(Value amount, const nn::DecoderPass& pass) const {
    constexpr double kHidden = -1e30, kLowest = -3e38;
    const Value later = op::mul(op::cast(pass.causal_bias(1), DType::f32), kHidden);
    const Value real = op::cast(pass.attention_mask(), DType::f32);
    const Value padding = op::mul(op::sub(1.0, real), kHidden);
    const Value hidden = op::add(later, op::unsqueeze(op::unsqueeze(padding, 1), 1));
    const Value seen = op::add(amount, hidden);
    // As many more as are chosen, so that there are enough.
    const Value enough = op::pad(seen, {0, 0, 0, 0}, {0, 0, 0, *settings.keep}, kLowest);
    const Value largest = op::topk(enough, *settings.keep, 3).values;
    const Value least = op::slice(largest, 3, *settings.keep - 1, *settings.keep);
    return op::ge(seen, least);
  }

  Value operator()(Value x, nn::DecoderPass& pass) const {
    const ModulePath at(x, path);
    const nn::QueryKeyValue now = parts.qkv(x, pass);
    const nn::KeyValue past = pass.past(layer);
    const Value value = nn::split_heads(now.value, sizes.kv_heads);
    const Value amount = amounts(past.value ? op::concat({past.value, value}, 2) : value);
    op::AttentionOperands operands;
    operands.query = parts.query_norm(now.query);
    operands.key = parts.key_norm(now.key);
    operands.value = now.value;
    operands.past_key = past.key;
    operands.past_value = past.value;
    operands.mask = parts.mask(pass);
    operands.mask.bias = for_queries(op::cast(amount, x.dtype()));
    if (settings.keep) operands.mask.visible = for_queries(chosen(amount, pass));
    operands.rope = (*parts.rotary)(pass.position_ids());
    const op::AttentionResults results = op::attention(operands, sizes.heads, sizes.kv_heads);
    pass.keep(layer, {results.key, results.value});
    if (settings.window && *settings.window > 1 && !pass.has_past()) pass.crop(layer, *settings.window - 1);
    return parts.output(results.output);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  const Settings settings(config);
  const bool mlp_bias = config.flag("mlp_bias");
  c.no_keys = op::NoKeys::uniform;  // its masks are added to the scores
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const nn::Norm before_attention = c.norm(s / "input_layernorm");
    const nn::Norm before_mlp = c.norm(s / "post_attention_layernorm");
    const DynamicMaskAttention attention(s / "self_attn", i, c, settings);
    const nn::GatedMlp mlp = c.mlp(s / "mlp", mlp_bias);
    const Weight first = s.weight("input_residual", {c.hidden_size});
    const Weight second = s.weight("post_attention_residual", {c.hidden_size});
    return [=](Value x, nn::DecoderPass& pass) {
      Graph& g = x.graph();
      const Value attended = attention(before_attention(x), pass);
      x = op::add(op::mul(x, g.weight(first)), attended);
      const Value fed = mlp(before_mlp(x));
      return op::add(op::mul(x, g.weight(second)), fed);
    };
  });
}

}  // namespace

void register_doge(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "doge",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
