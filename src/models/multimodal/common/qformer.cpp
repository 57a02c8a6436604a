#include "models/multimodal/common/qformer.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t width, states_width, layers, heads, inner, frequency;
  std::string activation;
  double eps;

  explicit Config(const PretrainedConfig& c)
      : width(c.integer("hidden_size")),
        states_width(c.integer("encoder_hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        inner(c.integer("intermediate_size")),
        frequency(divisor(c, "cross_attention_frequency")),
        activation(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")) {
    check_heads(c, width, heads);
    c.harmless({"vocab_size", "max_position_embeddings", "pad_token_id", "use_qformer_text_input"});  // text
    const std::string positions = c.string("position_embedding_type", "absolute");
    if (positions == "absolute") return;
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: position_embedding_type of the Q-Former is '{}', expected 'absolute'",
                                  c.origin(), positions));
  }
};

nn::SelfAttentionParameters attention_keys(const Config& c) {
  return {.hidden_size = c.width,
          .heads = c.heads,
          .query = "attention.query",
          .key = "attention.key",
          .value = "attention.value",
          .output = "output.dense"};
}

Value look_at(const Scope& s, const Config& c, Value x, Value states) {
  const ModulePath at(x, s.path());
  const Scope a = s / "attention";
  const Value query = nn::Linear(a / "query", c.width, c.width)(x);
  const Value key = nn::Linear(a / "key", c.states_width, c.width)(states);
  const Value value = nn::Linear(a / "value", c.states_width, c.width)(states);
  const Value seen = op::attention({.query = query, .key = key, .value = value}, c.heads, c.heads).output;
  return nn::Linear(s / "output.dense", c.width, c.width)(seen);
}

}  // namespace

Value query_states(const Scope& s, const PretrainedConfig& config, Value queries, Value states) {
  const Config c(config);
  const ModulePath at(queries, s.path());
  const auto norm = [&](const Scope& of) { return nn::LayerNorm(of, c.width, c.eps); };
  Value x = norm(s / "layernorm")(queries);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "encoder.layer" / i, own = layer / "attention", cross = layer / "crossattention";
    const ModulePath in(x, layer.path());
    x = norm(own / "output.LayerNorm")(op::add(nn::SelfAttention(own, attention_keys(c))(x), x));
    if (i % c.frequency == 0) {
      if (i == 0) x = op::expand(x, {states.dim(0), x.dim(1), x.dim(2)});
      x = norm(cross / "output.LayerNorm")(op::add(look_at(cross, c, x, states), x));
    }
    const Scope up = layer / "intermediate_query.dense", down = layer / "output_query.dense";
    const nn::Mlp mlp(layer.path(), nn::Linear(up, c.width, c.inner), nn::Linear(down, c.inner, c.width),
                      c.activation);
    x = norm(layer / "output_query.LayerNorm")(op::add(mlp(x), x));
  }
  return x;
}

}  // namespace onnxport::models
