// The text model of Dots 3 Note. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/dots3_note/modeling_dots3_note.py
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "models/decoders/common/experts.h"
#include "models/decoders/common/latent.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

constexpr const char* kIndexed = "indexed_attention";
constexpr const char* kSliding = "sliding_attention";
constexpr const char* kFull = "full_attention";

/// The types of layers. Older files call those with an indexer full_attention.
std::vector<std::string> types_of(const PretrainedConfig& config) {
  const bool given = config.has("use_dsa"), newer = config.has("per_layer_config");
  const bool indexed = config.flag("use_dsa", true), slides = config.flag("use_sliding_window");
  std::vector<std::string> types;
  if (config.has("layer_types")) {
    types = kinds_of_layers(config, "layer_types");
  } else {
    for (std::int64_t i = 0; i < config.integer("num_hidden_layers"); ++i)
      types.emplace_back(!slides || i < 2 || i % 4 == 1 ? kFull : kSliding);
    if (newer && !given) std::replace(types.begin(), types.end(), std::string(kFull), std::string(kIndexed));
  }
  for (std::string& type : types) {
    if (type != kFull && type != kIndexed && type != kSliding) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: layer_types names '{}', expected {}, {} or {}", config.origin(),
                                    type, kIndexed, kSliding, kFull));
    }
    if (type != kSliding && (given || !newer)) type = indexed ? kIndexed : kFull;
  }
  return types;
}

/// The config with the sizes of this layer's attention: `per_layer_config`, or else swa_* where it slides.
PretrainedConfig layer_config(const PretrainedConfig& config, std::int64_t layer, const std::string& type) {
  constexpr std::array keys =
      std::to_array<std::pair<const char*, std::int64_t>>({{"num_attention_heads", 64},
                                                           {"num_key_value_heads", 64},
                                                           {"q_lora_rank", 1024},
                                                           {"kv_lora_rank", 1024},
                                                           {"head_dim", 256},
                                                           {"qk_nope_head_dim", 192},
                                                           {"v_head_dim", 128},
                                                           {"qk_rope_head_dim", 0}});
  PretrainedConfig own = config;
  const auto settle = [&](const char* key, std::int64_t value) {
    own = own.settled(key, fmt::format("{}", value));
  };
  if (config.has("per_layer_config")) {
    const PretrainedConfig all = config.sub("per_layer_config");
    const std::string name = fmt::format("{}", layer);
    if (!all.has(name)) return own;
    const PretrainedConfig mine = all.sub(name);
    for (const auto& [key, usual] : keys) {
      if (const auto value = mine.maybe_integer(key)) settle(key, *value);
    }
  } else if (type == kSliding) {
    for (const auto& [key, usual] : keys) {
      const std::int64_t rest = own.integer("head_dim") - own.integer("qk_nope_head_dim");
      settle(key, config.integer("swa_" + std::string(key), usual > 0 ? usual : rest));
    }
  }
  return own;
}

class Dots3NoteTextOnnxConfig : public IndexedLatentOnnxConfig {
 public:
  using IndexedLatentOnnxConfig::IndexedLatentOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    const std::string type = types_of(c).at(static_cast<std::size_t>(layer));
    const PretrainedConfig own = layer_config(c, layer, type);
    std::vector<StateSpec> states =
        key_value(layer, 1, own.integer("kv_lora_rank"), own.integer("qk_rope_head_dim"));
    if (type == kIndexed) states.push_back(indexer_state(layer));
    return states;
  }
};

/// The base of the rotation has another key for layers that slide, in files without `rope_parameters`.
nn::RopeParameters rope_of(const PretrainedConfig& config, const std::string& type, std::int64_t turned) {
  RopeKeys keys{.layer_type = type};
  if (type == kSliding && !config.has("rope_parameters") && !config.has("rope_scaling"))
    keys.theta = config.real("swa_rope_theta", 50000);
  nn::RopeParameters rope = rope_parameters(config, turned, keys);
  rope.dim = turned;  // the class itself sets partial_rotary_factor to what makes this number
  return rope;
}

std::vector<bool> layers_with_experts(const PretrainedConfig& config, std::int64_t layers) {
  const std::vector<std::int64_t> frequency = config.integers("moe_layer_freq");
  return sparse_layers(config, layers, [&](std::int64_t layer) {
    if (layer < config.integer("first_k_dense_replace")) return false;
    if (frequency.size() <= 1) return layer % interval_of(config, "moe_layer_freq") == 0;
    return frequency.at(static_cast<std::size_t>(layer)) != 0;
  });
}

/// A latent attention whose short vectors grow with the width over their rank, with a norm of the turned keys
/// and a gate for each head.
nn::LatentAttentionParts attention_of(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                                      const nn::LatentAttentionParameters& p) {
  const auto norm = [&](const char* name, std::int64_t width) {
    return nn::RmsNorm(s / name, width, c.norm_parameters);
  };
  const auto factor = [&](std::int64_t rank) {
    return std::sqrt(static_cast<double>(c.hidden_size) / static_cast<double>(rank));
  };
  const std::int64_t rank = *p.query_rank;
  const nn::Linear down(s / "q_a_proj", c.hidden_size, rank, p.bias);
  const nn::Linear up(s / "q_b_proj", rank, p.heads * (p.plain_dim + p.turned_dim), false);
  const nn::Linear gate(s / "g_proj", c.hidden_size, p.heads, false);
  const auto query = [down, up, gate, norm = norm("q_a_layernorm", rank), by = factor(rank)](
                         Value x, const nn::DecoderPass&) -> nn::LatentQuery {
    const Value latent = op::mul(norm(down(x)), by);
    const Value made = up(latent);
    return {.query = made, .latent = latent, .gate = gate(x)};
  };
  nn::LatentAttentionParts parts = nn::cached_latent_attention(s, layer, p, query);
  parts.norm = [norm = norm("kv_a_layernorm", p.rank), by = factor(p.rank)](Value x) {
    return op::mul(norm(x), by);
  };
  parts.turned_norm = norm("k_rope_only_layernorm", p.turned_dim);
  return parts;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  const std::vector<std::string> types = types_of(config);
  const std::int64_t usual_window = config.integer("sliding_window_size");
  const std::int64_t window = config.maybe_integer("sliding_window").value_or(usual_window);
  const std::int64_t shared = config.maybe_integer("moe_shared_expert_intermediate_size")
                                  .value_or(config.integer("shared_experts_intermediate_size"));
  const nn::ExpertSizes sizes{c.hidden_size, config.integer("moe_intermediate_size"),
                              config.integer("n_routed_experts")};
  const std::vector<bool> sparse = layers_with_experts(config, c.num_hidden_layers);
  config.harmless({"mlp_bias"});  // not used by the original
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (!sparse.at(layer)) return c.mlp(s);
    const Weight bias = (s / "gate").weight("e_score_correction_bias", {sizes.experts});
    return nn::sum_of(nn::SparseMixture(s, sizes, grouped_routing(config, bias), c.hidden_act),
                      mlp_of_width(c, s / "shared_experts", shared * config.integer("n_shared_experts")));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    const std::string& type = types.at(i);
    const PretrainedConfig own = layer_config(config, i, type);
    require_query_rank(own);
    const TextDecoderConfig layer(own);
    nn::LatentAttentionParameters latent = latent_attention_parameters(own, layer);
    const nn::RopeParameters rope = rope_of(own, type, latent.turned_dim);
    latent.rotate = deepseek_rotation(rope, true);
    nn::LatentAttentionParts attention = attention_of(self, i, c, latent);
    const std::optional<std::int64_t> near = type == kSliding ? std::optional(window) : std::nullopt;
    attention.mask = nn::sees({.window = near}, c.no_keys);
    if (type == kIndexed) {
      attention.selection = kept_by(nn::KeyIndexer(
          self / "indexer", i, indexer_parameters(own, layer, rope, IndexerTurns::first_neighbours)));
    }
    return latent_block(c, s, nn::LatentAttention(std::move(attention)), mlp(s / "mlp", i));
  });
}

}  // namespace

void register_dots3_note_text(TasksManager& tasks) {
  tasks.register_model<Dots3NoteTextOnnxConfig>(
      {.model_type = "dots3_note_text",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"model.layers.46.*", "model.mtp.*"},  // these predict further tokens
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
