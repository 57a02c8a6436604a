// JetMoE. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/jetmoe/modeling_jetmoe.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Sizes {
  std::int64_t experts, per_token, kv_heads, head_dim;

  explicit Sizes(const PretrainedConfig& c)
      : experts(c.integer("num_local_experts")),
        per_token(c.integer("num_experts_per_tok")),
        kv_heads(c.integer("num_key_value_heads")),
        head_dim(c.integer("kv_channels")) {}
  std::int64_t width() const { return kv_heads * head_dim; }
};

class JetMoeOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  std::vector<StateSpec> states() const override {
    const PretrainedConfig c = config().unaccounted();
    const Sizes z(c);
    return key_values(c.integer("num_hidden_layers"), z.kv_heads, z.head_dim);
  }
};

/// The heads of queries and results in another order: [B, S, a * b * D] -> [B, S, b * a * D].
Value swapped(Value x, std::int64_t a, std::int64_t b, std::int64_t head_dim) {
  const Value heads = op::reshape(x, {x.dim(0), x.dim(1), a, b, head_dim});
  return op::reshape(op::transpose(heads, 2, 3), x.shape());
}

/// Attention in which a router chooses the queries of a token, each with its own output layer. The original
/// computes the layers of chosen experts alone. Here, all queries are computed and most are dropped; that
/// needs no loop over the experts.
nn::Mixer attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c, const Sizes& z) {
  const Scope chosen = s / "experts";
  const nn::Router router(nn::Linear(chosen / "router" / "layer", c.hidden_size, z.experts, false),
                          nn::scores_of_largest(z.per_token, nn::softmax_scores));
  const Scope in = chosen / "input_linear", out = chosen / "output_linear";
  const nn::Linear queries(in.path(),
                           in.weight("weight", {z.experts, z.width(), c.hidden_size})
                               .reshape({z.experts * z.width(), c.hidden_size}),
                           {});
  const nn::Linear outputs(out.path(),
                           out.weight("weight", {z.experts, c.hidden_size, z.width()})
                               .permute({1, 0, 2})
                               .reshape({c.hidden_size, z.experts * z.width()}),
                           chosen.weight("bias", {c.hidden_size}));
  const nn::Linear kv(s / "kv_proj", c.hidden_size, 2 * z.width(), false);
  const nn::CausalAttentionParts parts{.path = s.path(),
                                       .layer = layer,
                                       .sizes = c.heads,
                                       .qkv = {},
                                       .output = {},
                                       .mask = nn::sees({}, c.no_keys),
                                       .rotary = nn::RotaryEmbedding("rotary_emb", c.rope)};
  return [=](Value x, nn::DecoderPass& pass) {
    const Dim &batch = x.dim(0), &length = x.dim(1);
    const Dim tokens = batch * length;
    const nn::Routes routes = router(op::flatten(x, 0, 1));
    const Value indices = op::unsqueeze(routes.indices, 2);
    const Value hits = op::eq(indices, op::arange(x.graph(), z.experts));
    const Value picks = op::cast(hits, x.dtype());  // [N, k, E]
    nn::CausalAttentionParts p = parts;
    p.qkv = [&](Value hidden, const nn::DecoderPass&) -> nn::QueryKeyValue {
      const Value all = op::reshape(queries(hidden), {tokens, z.experts, z.width()});
      const Value query = op::reshape(op::matmul(picks, all), {batch, length, z.per_token * z.width()});
      const std::vector<Value> both = op::chunk(kv(hidden), -1, 2);
      return {swapped(query, z.per_token, z.kv_heads, z.head_dim), both[0], both[1]};
    };
    p.output = [&](Value heads) {
      const Value made = swapped(heads, z.kv_heads, z.per_token, z.head_dim);
      const Value apart = op::reshape(made, {tokens, z.per_token, z.width()});
      const Value shares = op::unsqueeze(op::cast(routes.values, x.dtype()), 2);
      const Value spread = op::transpose(op::mul(picks, shares), 1, 2);  // [N, E, k]
      return outputs(op::reshape(op::matmul(spread, apart), {batch, length, z.experts * z.width()}));
    };
    return nn::CausalAttention(p)(x, pass);
  };
}

nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const nn::SparseMixture sparse =
      stacked_mixture(s, config, c.intermediate_size, config.string("activation_function"));
  const Weight bias = s.weight("bias", {c.hidden_size});
  return [=](Value x) {
    const Value made = sparse(x);
    return op::add(made, x.graph().weight(bias));
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Sizes z(model.config());
  // The class computes this number.
  const std::int64_t heads = z.kv_heads * z.per_token;
  const PretrainedConfig config = model.config()
                                      .settled("num_attention_heads", fmt::format("{}", heads))
                                      .settled("head_dim", fmt::format("{}", z.head_dim));
  TextDecoderConfig c(config);
  c.add_masks_in_version_4(model.config());
  TextDecoderConfig inner = c;
  inner.norm_parameters = {};  // the default, whatever rms_norm_eps says
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return nn::PreNormBlock{.before_attention = inner.norm(s / "input_layernorm"),
                            .attention = attention(s / "self_attention", i, c, z),
                            .before_mlp = inner.norm(s / "post_attention_layernorm"),
                            .mlp = mixture(s / "mlp", config, c)};
  });
}

}  // namespace

void register_jetmoe(TasksManager& tasks) {
  tasks.register_model<JetMoeOnnxConfig>({.model_type = "jetmoe",
                                          .tasks = nn::text_decoder_tasks(),
                                          .forward = forward,
                                          .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
