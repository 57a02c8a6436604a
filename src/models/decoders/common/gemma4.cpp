#include "models/decoders/common/gemma4.h"

#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "models/decoders/common/experts.h"
#include "models/decoders/common/gemma.h"
#include "models/decoders/common/layer_tokens.h"
#include "models/decoders/common/layers.h"
#include "models/decoders/common/shared_keys.h"
#include "onnxport/error.h"
#include "onnxport/nn/experts.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

PretrainedConfig completed(const PretrainedConfig& config) {
  return with_usual_rope(config, R"({
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0}})");
}

bool sees_both_ways(const PretrainedConfig& c) {
  return c.maybe_string("use_bidirectional_attention") == "all";  // "vision": only images do
}

std::vector<nn::Visibility> visibility(const PretrainedConfig& c, std::int64_t layers) {
  std::vector<std::string> types = layer_types(c, layers, 6);
  if (!types.empty()) types.back() = "full_attention";
  const bool both_ways = sees_both_ways(c);
  const std::int64_t window = c.integer("sliding_window");
  auto visible = onnxport::layer_visibility(types, layers, both_ways ? window / 2 + 2 : window);
  for (nn::Visibility& keys : visible) keys.both_ways = both_ways;
  return visible;
}

/// What `per_layer_config` says of a layer. Its keys are numbers, which may have zeros in front.
std::optional<PretrainedConfig> settings_of(const PretrainedConfig& all, std::int64_t layer) {
  for (int width = 1; width <= 5; ++width) {
    const std::string key = fmt::format("{:0{}}", layer, width);
    if (all.has(key)) return all.sub(key);
  }
  return {};
}

/// Layers that see everything have other heads.
std::vector<nn::HeadSizes> heads_of_layers(const PretrainedConfig& c, const Gemma4Config& g) {
  std::vector<nn::HeadSizes> all(g.visible.size(), g.heads);
  const bool listed = c.has("per_layer_config");
  if (listed) c.harmless({"global_head_dim", "num_global_key_value_heads"});
  for (std::size_t i = 0; i < all.size(); ++i) {
    nn::HeadSizes& heads = all[i];
    if (listed) {
      const auto own = settings_of(c.sub("per_layer_config"), static_cast<std::int64_t>(i));
      if (!own) continue;
      heads.head_dim = own->maybe_integer("head_dim").value_or(heads.head_dim);
      heads.kv_heads = own->maybe_integer("num_key_value_heads").value_or(heads.kv_heads);
    } else if (!g.visible[i].window) {
      heads.head_dim = c.integer("global_head_dim");
      const auto kv_heads = c.maybe_integer("num_global_key_value_heads");
      if (g.keys_are_values && kv_heads) heads.kv_heads = *kv_heads;
    }
    check_multiple(c, "num_attention_heads", heads.heads, "the key heads of a layer", heads.kv_heads);
  }
  return all;
}

std::int64_t first_of_sharers(const PretrainedConfig& c, std::int64_t layers) {
  const std::int64_t shared = c.integer("num_kv_shared_layers");
  if (shared == 0 || (shared > 0 && shared < layers)) return layers - shared;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: num_kv_shared_layers is {}, expected less than num_hidden_layers, {}",
                                c.origin(), shared, layers));
}

/// The keys and values of other layers, and what each layer knows of the tokens [B, S, layers, width].
struct PassState {
  KeptKeys kept;
  Value tokens;
};

SharedKeyAttention attention(const Scope& s, std::int64_t layer, const Gemma4Config& c) {
  const auto at = static_cast<std::size_t>(layer);
  const auto source = source_of_keys(c.visible, c.first_shared, layer);
  const nn::HeadSizes& z = c.layer_heads.at(at);
  const std::int64_t width = z.heads * z.head_dim, kv_width = z.kv_heads * z.head_dim;
  const auto linear = [&](const char* key, std::int64_t out) {
    return nn::Linear(s / key, c.hidden_size, out, c.attention_bias);
  };
  nn::CausalAttentionParts parts{.path = s.path(), .layer = layer, .sizes = z, .options = {.scale = 1}};
  const nn::Linear query = linear("q_proj", width);
  if (source) {
    for (const char* unused : {"k_proj", "v_proj", "k_norm", "v_norm"}) s.ignore(unused);
    parts.qkv = [query](Value x, const nn::DecoderPass&) -> nn::QueryKeyValue { return {query(x), {}, {}}; };
  } else {
    const nn::Linear key = linear("k_proj", kv_width);
    const bool same = c.keys_are_values && !c.visible.at(at).window;
    const nn::Linear value = same ? key : linear("v_proj", kv_width);
    const auto norm =
        nn::per_head([eps = c.norm_parameters.eps](Value x) { return op::rms_norm(x, {}, eps); }, z.head_dim);
    parts.qkv = [=](Value x, const nn::DecoderPass&) -> nn::QueryKeyValue {
      const Value queries = query(x), keys = key(x);
      return {queries, keys, norm(same ? keys : value(x))};
    };
    parts.key_norm = nn::per_head(c.norm(s / "k_norm", z.head_dim), z.head_dim);
  }
  parts.output = nn::Linear(s / "o_proj", width, c.hidden_size, c.attention_bias);
  parts.rotary = nn::RotaryEmbedding("rotary_emb", c.layer_rope.at(at));
  parts.query_norm = nn::per_head(c.norm(s / "q_norm", z.head_dim), z.head_dim);
  return {std::move(parts), c.visible.at(at), source};
}

/// Experts whose router sees the same x, but normalized in another way.
nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const Gemma4Config& c) {
  const nn::ExpertSizes z{c.hidden_size, config.integer("moe_intermediate_size"),
                          config.integer("num_experts")};
  const Scope r = s / "router";
  const nn::Router router(
      nn::Linear(r / "proj", z.hidden_size, z.experts, false),
      nn::normalized(nn::largest_scores(nn::softmax_scores, config.integer("top_k_experts"))));
  const nn::Experts experts(nn::expert_weights(s / "experts", z), c.hidden_act);
  const Weight scale = r.weight("scale", {z.hidden_size});
  const Weight of_expert = r.weight("per_expert_scale", {z.experts});
  const nn::Norm before = c.norm(s / "pre_feedforward_layernorm_2");
  const nn::Norm after = c.norm(s / "post_feedforward_layernorm_2");
  const auto route = [=, eps = c.norm_parameters.eps](Value tokens) {
    const ModulePath at(tokens, r.path());
    const Value normed = op::rms_norm(tokens, tokens.graph().weight(scale), eps);
    const nn::Routes routes = router(op::mul(normed, 1 / std::sqrt(static_cast<double>(z.hidden_size))));
    const Value routing = nn::routing_matrix(routes, z.experts);
    return op::mul(routing, tokens.graph().weight(of_expert));
  };
  return [=](Value x) {
    const Value tokens = op::flatten(x, 0, 1);
    const Value routing = route(tokens);
    return after(op::reshape(experts(before(tokens), routing), x.shape()));
  };
}

/// The feed-forward, beside the experts if there are any. `x` goes into the norm in front.
nn::FeedForward feed_forward(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                             const Gemma4Config& c) {
  const std::int64_t factor = c.wide_sharers && layer >= c.first_shared ? 2 : 1;
  const nn::GatedMlp mlp = mlp_of_width(c, s / "mlp", c.intermediate_size * factor);
  const nn::Norm before = c.norm(s / "pre_feedforward_layernorm");
  nn::FeedForward dense = [=](Value x) { return mlp(before(x)); };
  if (!c.mixes) return dense;
  const nn::Norm after = c.norm(s / "post_feedforward_layernorm_1");
  return nn::sum_of([=](Value x) { return after(dense(x)); }, mixture(s, config, c));
}

}  // namespace

Gemma4Config::Gemma4Config(const PretrainedConfig& c)
    : TextDecoderConfig(gemma2_config(completed(c))),
      visible(visibility(c, num_hidden_layers)),
      first_shared(first_of_sharers(c, num_hidden_layers)),
      token_width(c.integer("hidden_size_per_layer_input", 0)),
      token_vocab(c.integer("vocab_size_per_layer_input", 0)),
      keys_are_values(c.flag("attention_k_eq_v")),
      wide_sharers(c.flag("use_double_wide_mlp")),
      mixes(c.flag("enable_moe_block", false)) {
  norm_parameters.offset = 0;
  table_scale = std::exchange(embedding_scale, 1);  // vectors of images and sounds are not scaled
  if (!mixes) c.harmless({"num_experts", "top_k_experts", "moe_intermediate_size"});
  layer_heads = heads_of_layers(c, *this);
  for (std::size_t i = 0; i < visible.size(); ++i) {
    const char* type = visible[i].window ? "sliding_attention" : "full_attention";
    layer_rope.push_back(rope_parameters(completed(c), layer_heads[i].head_dim, {.layer_type = type}));
  }
}

std::vector<StateSpec> Gemma4TextOnnxConfig::states() const {
  const Gemma4Config c(config().unaccounted());
  std::vector<StateSpec> all;
  for (std::int64_t i = 0; i < c.first_shared; ++i) {
    const nn::HeadSizes& heads = c.layer_heads.at(static_cast<std::size_t>(i));
    for (StateSpec& state : key_value(i, heads.kv_heads, heads.head_dim)) all.push_back(std::move(state));
  }
  return all;
}

nn::MakeBlock gemma4_blocks(const Gemma4LayerTokens& tokens, const PretrainedConfig& config,
                            const Gemma4Config& c) {
  const auto state = std::make_shared<PassState>();
  return [=](const Scope& s, std::int64_t i) -> nn::Block {
    const SharedKeyAttention attend = attention(s / "self_attn", i, c);
    const nn::Mixer mixer = [=](Value x, nn::DecoderPass& pass) { return attend(x, pass, state->kept); };
    const nn::SandwichBlock block{.before_attention = c.norm(s / "input_layernorm"),
                                  .attention = mixer,
                                  .after_attention = c.norm(s / "post_attention_layernorm"),
                                  .before_mlp = {},
                                  .mlp = feed_forward(s, i, config, c),
                                  .after_mlp = c.norm(s / "post_feedforward_layernorm")};
    std::optional<AddedTokens> added;
    if (tokens.make) added.emplace(s / tokens.key, c, c.token_width);
    const Weight scalar = s.try_weight("layer_scalar", {1});
    return [=](Value x, nn::DecoderPass& pass) {
      if (tokens.make && i == 0) state->tokens = tokens.make(x, pass);
      Value made = block(x, pass);
      if (added) made = op::add(made, (*added)(made, op::select(state->tokens, 2, i)));
      return scalar ? op::mul(made, made.graph().weight(scalar)) : made;
    };
  };
}

nn::MakeBlock gemma4_blocks(const Inputs& inputs, const Scope& base, const PretrainedConfig& config,
                            const Gemma4Config& c) {
  Gemma4LayerTokens layer_tokens;
  if (c.token_width > 0) {
    const LayerTokens tokens(base, base / "per_layer_model_projection", c, c.token_width, c.token_vocab);
    layer_tokens.make = [=](Value x, nn::DecoderPass& pass) { return tokens(x, tokens.rows(inputs, pass)); };
  }
  return gemma4_blocks(layer_tokens, config, c);
}

}  // namespace onnxport::models
