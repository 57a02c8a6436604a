#include "models/decoders/common/latent.h"

#include <fmt/format.h>

#include <limits>
#include <string>
#include <utility>

#include "onnxport/error.h"

namespace onnxport::models {

std::vector<StateSpec> LatentCacheOnnxConfig::layer_states(std::int64_t layer) const {
  const PretrainedConfig c = config().unaccounted();
  return key_value(layer, 1, c.integer("kv_lora_rank"), c.integer("qk_rope_head_dim"));
}

StateSpec with_growing_axis(StateSpec state, int axis) {
  state.shape.insert(state.shape.begin() + axis, Dim::symbol("past_sequence_length"));
  state.growing_axis = axis;
  state.grown = "past_sequence_length + sequence_length";
  return state;
}

std::vector<StateSpec> IndexedLatentOnnxConfig::layer_states(std::int64_t layer) const {
  std::vector<StateSpec> states = LatentCacheOnnxConfig::layer_states(layer);
  if (!has_indexer(layer)) return states;
  states.push_back(indexer_state(layer));
  return states;
}

StateSpec IndexedLatentOnnxConfig::indexer_state(std::int64_t layer) const {
  const std::int64_t width = config().unaccounted().integer("index_head_dim");
  return with_growing_axis(fixed_state(layer, "indexer", {width}), 1);
}

nn::LatentAttentionParameters turning_latent_parameters(const PretrainedConfig& config,
                                                        const TextDecoderConfig& c, bool interleaved) {
  nn::LatentAttentionParameters p = latent_attention_parameters(config, c);
  p.rotate = deepseek_rotation(rope_parameters(config, p.turned_dim), interleaved);
  return p;
}

nn::LatentAttentionParts latent_parts(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                                      const TextDecoderConfig& c, const nn::LatentAttentionParameters& p,
                                      nn::LatentQueries query) {
  nn::LatentAttentionParts parts = nn::cached_latent_attention(s, layer, p, std::move(query));
  parts.options.scale = deepseek_score_scale(config, p.plain_dim + p.turned_dim);
  parts.mask = nn::sees({}, c.no_keys);
  return parts;
}

nn::Block latent_block(const TextDecoderConfig& c, const Scope& s, nn::Mixer attention, nn::FeedForward mlp) {
  return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                          .attention = std::move(attention),
                          .before_mlp = c.norm(s / "post_attention_layernorm"),
                          .mlp = std::move(mlp)};
}

nn::Routing grouped_routing(const PretrainedConfig& config, const Weight& bias) {
  return deepseek_routing(config, bias, std::numeric_limits<float>::lowest());
}

nn::FeedForward grouped_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const Weight bias = (s / "gate").weight("e_score_correction_bias", {config.integer("n_routed_experts")});
  return deepseek_mixture(s, config, c, grouped_routing(config, bias));
}

nn::KeyIndexerParameters indexer_parameters(const PretrainedConfig& config, const TextDecoderConfig& c,
                                            const nn::RopeParameters& rope, IndexerTurns turns) {
  require_query_rank(config);
  nn::KeyIndexerParameters p{.hidden_size = c.hidden_size,
                             .query_rank = config.integer("q_lora_rank"),
                             .heads = config.integer("index_n_heads"),
                             .head_dim = config.integer("index_head_dim"),
                             .count = config.integer("index_topk")};
  const std::int64_t turned = rope.dim;
  if (p.heads < 1 || turned < 1 || p.head_dim < turned) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} heads of an indexer with {} elements, of which {} turn",
                                  config.origin(), p.heads, p.head_dim, turned));
  }
  const auto rotate = deepseek_rotation(rope, turns == IndexerTurns::first_neighbours);
  const std::int64_t begin = turns == IndexerTurns::last_halves ? p.head_dim - turned : 0;
  p.rotate = [=](Value x, std::int64_t heads, const nn::DecoderPass& pass) {
    return nn::change_part(x, heads, begin, turned, [&](Value part) { return rotate(part, heads, pass); });
  };
  return p;
}

nn::KeySelection kept_by(nn::KeyIndexer indexer) {
  return [indexer = std::move(indexer)](Value x, const nn::LatentQuery& made, nn::DecoderPass& pass) {
    return indexer(x, made.latent, pass);
  };
}

std::vector<bool> indexed_layers(const PretrainedConfig& config, std::int64_t layers,
                                 const std::function<bool(std::int64_t)>& full) {
  std::vector<bool> all;
  if (config.has("indexer_types")) {
    for (const std::string& type : kinds_of_layers(config, "indexer_types")) {
      if (type != "full" && type != "shared") {
        throw ExportError(
            ErrorCode::bad_config,
            fmt::format("{}: indexer_types names '{}', expected full or shared", config.origin(), type));
      }
      all.push_back(type == "full");
    }
  } else {
    for (std::int64_t i = 0; i < layers; ++i) all.push_back(full(i));
  }
  if (all.empty() || all.front()) return all;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: the first layer has no indexer", config.origin()));
}

nn::KeySelection SharedSelection::made_by(nn::KeySelection selection) const {
  return [chosen = chosen_, selection = std::move(selection)](Value x, const nn::LatentQuery& made,
                                                              nn::DecoderPass& pass) {
    *chosen = selection(x, made, pass);
    return *chosen;
  };
}

nn::KeySelection SharedSelection::last() const {
  return [chosen = chosen_](Value, const nn::LatentQuery&, nn::DecoderPass&) { return *chosen; };
}

NamedValues forward_indexed_decoder(const Inputs& inputs, const Model& model, const Component& component,
                                    const PretrainedConfig& config, IndexerTurns turns,
                                    const SelectKeys& select) {
  const TextDecoderConfig c(config);
  const nn::LatentAttentionParameters latent = turning_latent_parameters(config, c, true);
  const nn::KeyIndexerParameters indexer =
      indexer_parameters(config, c, rope_parameters(config, latent.turned_dim), turns);
  const std::vector<bool> sparse = sparse_layers(config, c.num_hidden_layers);
  config.harmless({"layer_types", "mlp_bias"});  // not used by the originals
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (sparse.at(static_cast<std::size_t>(layer))) return grouped_mixture(s, config, c);
    return c.mlp(s);
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    nn::LatentAttentionParts attention = latent_parts(self, i, config, c, latent);
    attention.selection = select(self / "indexer", i, indexer);
    return latent_block(c, s, nn::LatentAttention(std::move(attention)), mlp(s / "mlp", i));
  });
}

void require_query_rank(const PretrainedConfig& config) {
  if (config.has("q_lora_rank")) return;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: q_lora_rank is null, expected a number", config.origin()));
}

}  // namespace onnxport::models
