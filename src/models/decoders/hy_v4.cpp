// Hunyuan 4. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/hy_v4/modeling_hy_v4.py
#include <fmt/format.h>

#include <string>
#include <utility>

#include "models/decoders/common/latent.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

std::vector<bool> indexers(const PretrainedConfig& config) {
  return indexed_layers(config, config.integer("num_hidden_layers"),
                        [](std::int64_t layer) { return layer == 0 || (layer - 1) % 4 == 0; });
}

class HyV4OnnxConfig : public IndexedLatentOnnxConfig {
 public:
  using IndexedLatentOnnxConfig::IndexedLatentOnnxConfig;

 protected:
  bool has_indexer(std::int64_t layer) const override {
    return indexers(config().unaccounted()).at(static_cast<std::size_t>(layer));
  }
};

/// A token is several vectors: `count` streams of the hidden size. Weights of them are the sigmoid of a layer
/// that sees all of them, normalized; in float32.
struct Streams {
  std::int64_t count, hidden_size;
  double norm_eps, eps, magnitude;

  explicit Streams(const PretrainedConfig& config)
      : count(config.integer("hc_mult")),
        hidden_size(config.integer("hidden_size")),
        norm_eps(config.real("rms_norm_eps")),
        eps(config.real("hc_eps")),
        magnitude(config.real("hc_magnitude")) {
    if (count >= 1 && count <= 64) return;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: hc_mult is {}, expected 1 to 64", config.origin(), count));
  }

  /// Keys: {prefix}fn [parts * count, count * hidden_size], {prefix}base, {prefix}scale [parts]. Streams
  /// [B, S, count, H] -> a weight for each in each part: float32 [B, S, parts * count].
  nn::Norm weights(const Scope& s, const std::string& prefix, std::int64_t parts) const {
    const Weight layer = s.weight(prefix + "fn", {parts * count, count * hidden_size}).cast(DType::f32);
    const Weight base = s.weight(prefix + "base", {parts * count}).cast(DType::f32);
    const Weight scale = s.weight(prefix + "scale", {parts}).cast(DType::f32);
    std::vector<Weight> scales;
    for (std::int64_t i = 0; i < parts * count; ++i)
      scales.push_back(scale.slice(0, i / count, i / count + 1));
    return [=, *this, factors = Weight::concat(scales, 0), path = s.path()](Value x) {
      const ModulePath at(x, path);
      Graph& graph = x.graph();
      const Value flat = op::reshape(op::cast(x, DType::f32), {x.dim(0), x.dim(1), count * hidden_size});
      const Value normed = op::rms_norm(flat, {}, norm_eps);
      const Value mixed = op::linear(normed, graph.weight_as_is(layer));
      const Value scaled = op::mul(mixed, graph.weight_as_is(factors));
      return op::sigmoid(op::add(scaled, graph.weight_as_is(base)));
    };
  }

  /// Streams [B, S, count, H] times weights [B, S, count] -> their sum [B, S, H].
  Value sum(Value streams, Value weights) const {
    const Value row = op::unsqueeze(op::add(weights, eps), 2);
    const Value one = op::squeeze(op::matmul(row, op::cast(streams, DType::f32)), 2);
    return op::cast(one, streams.dtype());
  }

  /// A branch that sees one sum of the streams, and is added to each of them.
  nn::Mixer around(const Scope& s, nn::Mixer branch) const {
    return
        [*this, weights = weights(s, "hc_", 2), branch = std::move(branch)](Value x, nn::DecoderPass& pass) {
          const std::vector<Value> parts = op::split(weights(x), 2, {count, count});
          const Value made = op::cast(branch(sum(x, parts[0]), pass), DType::f32);
          const Value shares = op::unsqueeze(op::add(op::mul(parts[1], magnitude), eps), 3);
          const Value added = op::mul(shares, op::unsqueeze(made, 2));
          return op::cast(op::add(added, op::cast(x, DType::f32)), x.dtype());
        };
  }
};

/// Each head's results have gates.
nn::LatentAttentionParts attention_of(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                                      const TextDecoderConfig& c, const nn::LatentAttentionParameters& p) {
  nn::LatentAttentionParts parts = latent_parts(s, layer, config, c, p);
  const nn::Linear gate(s / "linear_gate", c.hidden_size, p.heads * p.value_dim, false);
  parts.query = [gate, query = parts.query](Value x, const nn::DecoderPass& pass) {
    nn::LatentQuery made = query(x, pass);
    made.gate = gate(x);
    return made;
  };
  parts.sinks = s.weight("learnable_sink_param", {p.heads});
  return parts;
}

nn::FeedForward mlp_of(const Scope& s, const TextDecoderConfig& c, std::int64_t width) {
  return nn::GatedMlp(s, {.hidden_size = c.hidden_size,
                          .intermediate_size = width,
                          .activation = c.hidden_act,
                          .gate = "linear_gate"});
}

/// The mixture of DeepSeek V3 with clamped experts.
nn::FeedForward mixture_of(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const std::int64_t width = config.integer("moe_intermediate_size");
  const nn::ExpertSizes sizes{c.hidden_size, width, config.integer("n_routed_experts")};
  const Weight bias = (s / "gate").weight("e_score_correction_bias", {sizes.experts});
  const nn::Router router(nn::Linear(s / "gate", c.hidden_size, sizes.experts, false),
                          grouped_routing(config, bias));
  const nn::Experts experts(nn::expert_weights(s / "experts", sizes),
                            fmt::format("clamped_silu {}", config.real("swiglu_limit")));
  return nn::sum_of(nn::SparseMixture(s.path(), router, experts),
                    mlp_of(s / "shared_experts", c, width * config.integer("n_shared_experts")));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& given = model.config();  // the class has as many key heads as query heads
  const PretrainedConfig config =
      given.settled("num_key_value_heads", fmt::format("{}", given.integer("num_attention_heads")));
  const TextDecoderConfig c(config);
  config.harmless({"layer_types", "learnable_sink_init", "pad_token_id"});  // not used, and of training
  nn::LatentAttentionParameters latent = latent_attention_parameters(config, c);
  const nn::RopeParameters rope = rope_parameters(config, latent.turned_dim);
  latent.rotate = deepseek_rotation(rope, false);
  nn::KeyIndexerParameters indexer = indexer_parameters(config, c, rope, IndexerTurns::last_halves);
  indexer.norm_eps = c.norm_parameters.eps;
  const std::vector<bool> indexed = indexers(config);
  const std::vector<bool> sparse =
      sparse_layers(config, c.num_hidden_layers, [](std::int64_t layer) { return layer > 0; });
  const Streams streams(config);
  const SharedSelection selection;
  const auto make_block = [&](const Scope& s, std::int64_t i) -> nn::Block {
    const Scope self = s / "self_attn";
    nn::LatentAttentionParts parts = attention_of(self, i, config, c, latent);
    parts.selection = indexed.at(i) ? selection.made_by(kept_by(nn::KeyIndexer(self / "indexer", i, indexer)))
                                    : selection.last();
    const auto behind_norm = [&](const char* norm, nn::Mixer branch) -> nn::Mixer {
      return [norm = c.norm(s / norm), branch = std::move(branch)](Value x, nn::DecoderPass& pass) {
        return branch(norm(x), pass);
      };
    };
    const nn::FeedForward mlp =
        sparse.at(i) ? mixture_of(s / "mlp", config, c) : mlp_of(s / "mlp", c, c.intermediate_size);
    const nn::Mixer attention =
        streams.around(s / "hc_pre" / "hc_attn_layer",
                       behind_norm("input_layernorm", nn::LatentAttention(std::move(parts))));
    const nn::Mixer feed_forward = streams.around(
        s / "hc_pre" / "hc_mlp_layer",
        behind_norm("post_attention_layernorm", [mlp](Value x, nn::DecoderPass&) { return mlp(x); }));
    return [attention, feed_forward](Value x, nn::DecoderPass& pass) {
      return feed_forward(attention(x, pass), pass);
    };
  };
  const Scope root = model.scope(), base = root.base_model("model");
  const nn::Embedding embed_tokens(base / "embed_tokens", c.vocab_size, c.hidden_size);
  const auto embed = [&](nn::DecoderPass& pass) {
    const Value x = pass.embedded(embed_tokens);
    return op::expand(op::unsqueeze(x, 2), {x.dim(0), x.dim(1), streams.count, c.hidden_size});
  };
  // The bare model is saved with the parts of the name in another order.
  const Scope bare = base / "hc_head" / "hc_pre";
  const nn::Norm weights = streams.weights(bare.exists() ? bare : base / "hc_pre" / "hc_head", "hc_head_", 1);
  const auto norm = [&, last = c.norm(base / "norm")](Value x) { return last(streams.sum(x, weights(x))); };
  const nn::DecoderStack decoder(base, "layers", c.num_hidden_layers, make_block, embed, norm);
  const Weight tied_table = c.tie_word_embeddings ? embed_tokens.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied_table, c.vocab_size, c.hidden_size),
       .hidden_size = c.hidden_size});
}

}  // namespace

void register_hy_v4(TasksManager& tasks) {
  tasks.register_model<HyV4OnnxConfig>({.model_type = "hy_v4",
                                        .tasks = nn::text_decoder_tasks({}),
                                        .forward = forward,
                                        .ignorable_keys = {"model.mtp_layers.*"},  // predict further tokens
                                        .key_names = {.newer = {{"hc_pre.hc_attn_layer.hc_", "attn_hc."},
                                                                {"hc_pre.hc_mlp_layer.hc_", "ffn_hc."},
                                                                {"hc_pre.hc_head.hc_head_", "hc_head.hc_"},
                                                                {"learnable_sink_param", "sinks"},
                                                                {"linear_gate", "gate_proj"}},
                                                      .embeddings = {"model.embed_tokens.weight"},
                                                      .head = "lm_head.weight"}});
}

}  // namespace onnxport::models
