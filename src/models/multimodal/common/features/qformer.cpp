#include "models/multimodal/common/features/qformer.h"

#include <fmt/format.h>

#include "models/multimodal/common/features/cross_layer.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t width, layers, heads, inner, frequency;
  std::string activation;
  double eps;

  explicit Config(const PretrainedConfig& c)
      : width(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        inner(c.integer("intermediate_size")),
        frequency(divisor(c, "cross_attention_frequency")),
        activation(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")) {
    check_heads(c, width, heads);
    c.harmless({"vocab_size", "max_position_embeddings", "pad_token_id", "use_qformer_text_input"});  // text
    c.harmless({"encoder_hidden_size"});  // that of the tower
    const std::string positions = c.string("position_embedding_type", "absolute");
    if (positions == "absolute") return;
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: position_embedding_type of the Q-Former is '{}', expected 'absolute'",
                                  c.origin(), positions));
  }

  nn::LayerNorm norm(const Scope& s) const { return {s, width, eps}; }
};

nn::SelfAttentionParameters attention_keys(const Config& c) {
  return {.hidden_size = c.width,
          .heads = c.heads,
          .query = "attention.query",
          .key = "attention.key",
          .value = "attention.value",
          .output = "output.dense"};
}

// `suffix`: of the keys, which text and queries have apart.
Value feed_forward(const Scope& s, const Config& c, const std::string& suffix, Value x) {
  const Scope out = s / ("output" + suffix);
  const nn::Mlp mlp(s.path(), nn::Linear(s / ("intermediate" + suffix) / "dense", c.width, c.inner),
                    nn::Linear(out / "dense", c.inner, c.width), c.activation);
  return c.norm(out / "LayerNorm")(op::add(mlp(x), x));
}

// The queries [1, Q, D] of each state, and behind them the text: [N, Q + T, D].
Value with_text(const Scope& s, const PretrainedConfig& config, const Config& c, Value queries, Value ids) {
  const ModulePath at(queries, s.path());
  const nn::Embedding words(s / "word_embeddings", config.integer("vocab_size"), c.width);
  const nn::Embedding positions(s / "position_embeddings", config.integer("max_position_embeddings"),
                                c.width);
  const Value tokens = words(ids);
  const Value text = op::add(tokens, positions.first(ids.graph(), ids.dim(1)));
  const Value repeated = op::expand(queries, {ids.dim(0), queries.dim(1), queries.dim(2)});
  return c.norm(s / "layernorm")(op::concat({repeated, text}, 1));
}

// Queries are never hidden.
op::AttentionMask mask_of(Value mask, std::int64_t queries) {
  const ModulePath at(mask, "attention_mask");
  const Value one = op::scalar(mask.graph(), 1, DType::i64);
  const Value seen = op::expand(op::reshape(one, {1, 1}), {mask.dim(0), queries});
  return nn::padding_mask(op::concat({seen, mask}, 1));
}

}  // namespace

Value query_states(const Scope& s, const PretrainedConfig& config, Value queries, Value states,
                   const QueryText& text) {
  const Config c(config);
  const ModulePath at(queries, s.path());
  const std::int64_t count = *queries.dim(1).constant();
  const op::AttentionMask mask = text.ids ? mask_of(text.mask, count) : op::AttentionMask{};
  Value x =
      text.ids ? with_text(s / "embeddings", config, c, queries, text.ids) : c.norm(s / "layernorm")(queries);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "encoder.layer" / i, own = layer / "attention", cross = layer / "crossattention";
    const ModulePath in(x, layer.path());
    x = c.norm(own / "output.LayerNorm")(op::add(nn::SelfAttention(own, attention_keys(c))(x, mask), x));
    Value tokens;
    if (text.ids) {
      tokens = op::slice(x, 1, count, x.dim(1));
      x = op::slice(x, 1, 0, count);
    }
    if (i % c.frequency == 0) {
      if (i == 0 && !text.ids) x = op::expand(x, {states.dim(0), x.dim(1), x.dim(2)});
      x = c.norm(cross /
                 "output.LayerNorm")(op::add(attend_to(cross, attention_keys(c), x, {.states = states}), x));
    }
    x = feed_forward(layer, c, "_query", x);
    if (!text.ids) continue;
    tokens = feed_forward(layer, c, "", tokens);
    if (i + 1 < c.layers) x = op::concat({x, tokens}, 1);
  }
  return x;
}

}  // namespace onnxport::models
