// The text model of MiniMax M3. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/minimax_m3_vl/modeling_minimax_m3_vl.py
#include <fmt/format.h>

#include <limits>
#include <string>
#include <utility>

#include "models/decoders/common/latent.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

constexpr double kLowest = std::numeric_limits<float>::lowest(), kHighest = std::numeric_limits<float>::max();

/// Sizes of the indexers, also under their older keys.
struct IndexerSizes {
  std::int64_t heads, head_dim, block, count, local;

  explicit IndexerSizes(const PretrainedConfig& config) {
    const bool older = config.has("sparse_attention_config");
    const auto size = [&](const char* key, const char* old_key) {
      const std::int64_t usual = config.integer(key);
      return older ? config.sub("sparse_attention_config").maybe_integer(old_key).value_or(usual) : usual;
    };
    heads = size("index_n_heads", "sparse_num_index_heads");
    head_dim = size("index_head_dim", "sparse_index_dim");
    block = size("index_block_size", "sparse_block_size");
    count = size("index_topk_blocks", "sparse_topk_blocks");
    local = size("index_local_blocks", "sparse_local_block");
    check_multiple(config, "num_attention_heads", config.integer("num_attention_heads"), "index_n_heads",
                   heads);
    if (block >= 1 && head_dim >= 1) return;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: index_block_size is {} and index_head_dim {}, expected at least 1",
                                  config.origin(), block, head_dim));
  }
};

/// Which layers have an indexer.
std::vector<bool> indexers(const PretrainedConfig& config) {
  const std::int64_t layers = config.integer("num_hidden_layers");
  std::vector<bool> all(static_cast<std::size_t>(std::max<std::int64_t>(layers, 0)));
  if (config.has("layer_types")) {
    const std::vector<std::string> types = kinds_of_layers(config, "layer_types");
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i] = types[i] == "minimax_m3_sparse";
      if (all[i] || types[i] == "full_attention") continue;
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: layer_types names '{}', expected minimax_m3_sparse or full_attention",
                      config.origin(), types[i]));
    }
    return all;
  }
  if (!config.has("sparse_attention_config")) return all;
  const PretrainedConfig older = config.sub("sparse_attention_config");
  if (!older.has("sparse_attention_freq")) return all;
  const std::vector<std::int64_t> marks = older.integers("sparse_attention_freq");
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = marks.at(i) != 0;
  return all;
}

class MiniMaxM3OnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    std::vector<StateSpec> states = key_value(layer, heads.kv_heads, heads.head_dim);
    if (indexers(c).at(static_cast<std::size_t>(layer)))
      states.push_back(with_growing_axis(fixed_state(layer, "indexer", {1, IndexerSizes(c).head_dim}), 2));
    return states;
  }
};

/// Chooses blocks of keys: those with the largest scores, and those of the query itself and just before it.
/// Each head chooses for as many heads of the attention.
class BlockIndexer {
 public:
  BlockIndexer(const Scope& s, std::int64_t layer, const IndexerSizes& sizes, const TextDecoderConfig& c)
      : path_(s.path()),
        layer_(layer),
        repeats_(c.heads.heads / sizes.heads),
        sizes_(sizes),
        query_(s / "q_proj", c.hidden_size, sizes.heads * sizes.head_dim, false),
        key_(s / "k_proj", c.hidden_size, sizes.head_dim, false),
        query_norm_(nn::per_head(c.norm(s / "q_norm", sizes.head_dim), sizes.head_dim)),
        key_norm_(nn::per_head(c.norm(s / "k_norm", sizes.head_dim), sizes.head_dim)),
        rotary_("rotary_emb", c.rope) {}

  /// x [B, S, H] -> bool [B, heads, S, P + S]
  Value operator()(Value x, nn::DecoderPass& pass) const {
    const ModulePath at(x, path_);
    const op::Rope rope = rotary_(pass.position_ids());
    const Value query = split_heads(nn::turned(query_norm_(query_(x)), rope, sizes_.heads), sizes_.heads);
    Value key = split_heads(nn::turned(key_norm_(key_(x)), rope, 1), 1);
    if (const Value past = pass.past(layer_, "indexer")) key = op::concat({past, key}, 2);
    pass.keep(layer_, "indexer", key);
    const Value columns = op::transpose(op::cast(key, DType::f32), 2, 3);
    const Value scores = op::matmul(op::cast(query, DType::f32), columns);  // [B, heads, S, P + S]
    return for_heads(chosen_blocks(scores, pass.position_ids()), pass.total_length());
  }

 private:
  static Value split_heads(Value x, std::int64_t heads) {
    const std::int64_t width = *x.dim(2).constant() / heads;
    return op::transpose(op::reshape(x, {x.dim(0), x.dim(1), heads, width}), 1, 2);
  }

  /// bool [B, heads, S, blocks]. The original compares places in the cache with position_ids.
  Value chosen_blocks(Value scores, Value position_ids) const {
    Graph& graph = scores.graph();
    const Dim &batch = scores.dim(0), &length = scores.dim(2), &keys = scores.dim(3);
    const Dim blocks = (keys + (sizes_.block - 1)).floor_div(sizes_.block);
    const Value lowest = op::scalar(graph, kLowest, DType::f32);
    const Value position = op::reshape(position_ids, {batch, 1, length, 1});
    const Value seen = op::where(op::le(op::arange(graph, keys), position), scores, lowest);
    const Value whole = op::pad(seen, {0, 0, 0, 0}, {0, 0, 0, blocks * sizes_.block - keys}, kLowest);
    const Value apart = op::reshape(whole, {batch, sizes_.heads, length, blocks, sizes_.block});
    Value best = op::amax(apart, 4);
    const Value number = op::arange(graph, blocks);
    const Value own = op::div(position, static_cast<double>(sizes_.block));
    const Value before = op::le(number, own);
    const Value near = op::gt(number, op::sub(own, static_cast<double>(sizes_.local)));
    const Value highest = op::scalar(graph, kHighest, DType::f32);
    best = op::where(op::logical_and(before, near), highest, best);
    const Value largest = nn::among_largest(best, sizes_.count);
    return op::logical_and(largest, op::gt(best, lowest));
  }

  Value for_heads(Value blocks, const Dim& keys) const {
    const Dim &batch = blocks.dim(0), &length = blocks.dim(2), &count = blocks.dim(3);
    const Value apart = op::reshape(blocks, {batch, sizes_.heads, 1, length, count, 1});
    const Value wide = op::expand(apart, {batch, sizes_.heads, repeats_, length, count, sizes_.block});
    const Value flat = op::reshape(wide, {batch, sizes_.heads * repeats_, length, count * sizes_.block});
    return op::slice(flat, 3, 0, keys);
  }

  std::string path_;
  std::int64_t layer_, repeats_;
  IndexerSizes sizes_;
  nn::Linear query_, key_;
  std::function<Value(Value)> query_norm_, key_norm_;
  nn::RotaryEmbedding rotary_;
};

/// The activation of gpt-oss, with gate and up in one layer.
nn::FeedForward clamped_mlp(const Scope& s, const TextDecoderConfig& c, std::int64_t width) {
  const nn::Linear both(s / "gate_up_proj", c.hidden_size, 2 * width, false);
  const nn::Linear down(s / "down_proj", width, c.hidden_size, false);
  return [=, path = s.path()](Value x) {
    const ModulePath at(x, path);
    const std::vector<Value> parts = op::chunk(both(x), -1, 2);
    const Value gate = op::minimum(parts[0], 7.0);
    const Value opened = op::mul(gate, op::sigmoid(op::mul(gate, 1.702)));
    const Value up = op::add(op::clamp(parts[1], -7.0, 7.0), 1.0);
    return down(op::mul(up, opened));
  };
}

void check_activation(const PretrainedConfig& config) {
  for (const auto& [key, known] : {std::pair("swiglu_alpha", 1.702), {"swiglu_limit", 7.0}}) {
    if (config.real(key) != known)
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{} is {}, expected {}", key, config.real(key), known));
  }
}

std::vector<bool> layers_with_experts(const PretrainedConfig& config, std::int64_t layers) {
  const bool older = config.has("moe_layer_freq");
  const std::vector<std::int64_t> marks =
      older ? config.integers("moe_layer_freq") : std::vector<std::int64_t>();
  return sparse_layers(config, layers, [&](std::int64_t layer) {
    return !older || marks.at(static_cast<std::size_t>(layer)) != 0;
  });
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.norm_parameters.offset = 1;
  check_activation(config);
  // Of training, or a copy of what partial_rotary_factor says.
  config.harmless({"router_aux_loss_coef", "router_jitter_noise", "rotary_dim"});
  const IndexerSizes indexer(config);
  const std::vector<bool> indexed = indexers(config),
                          sparse = layers_with_experts(config, c.num_hidden_layers);
  const nn::ExpertSizes sizes{c.hidden_size, c.intermediate_size, config.integer("num_local_experts")};
  const std::int64_t dense = config.integer("dense_intermediate_size");
  const std::int64_t shared = config.integer("shared_intermediate_size");
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (!sparse.at(layer)) return clamped_mlp(s, c, dense);
    const Weight bias = (s / "gate").weight("e_score_correction_bias", {sizes.experts});
    const nn::Routing chosen =
        nn::preferred_scores(op::sigmoid, nn::plus_bias(bias), config.integer("num_experts_per_tok"));
    const nn::Routing routing = nn::multiplied(nn::normalized(chosen), config.real("routed_scaling_factor"));
    return nn::sum_of(nn::SparseMixture(s, sizes, routing, "swiglu_oai"),
                      clamped_mlp(s / "shared_experts", c, shared));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    const nn::CausalAttention attention(c.normed_attention(self, i));
    nn::Mixer mixer = attention;
    if (indexed.at(i)) {
      if (indexer.head_dim < c.rope.dim) {
        throw ExportError(ErrorCode::unsupported,
                          fmt::format("index_head_dim is {}, less than the {} elements "
                                      "that turn",
                                      indexer.head_dim, c.rope.dim));
      }
      mixer = [attention, no_keys = c.no_keys, choose = BlockIndexer(self / "indexer", i, indexer, c)](
                  Value x, nn::DecoderPass& pass) {
        op::AttentionMask mask = pass.mask({}, no_keys);
        mask.visible = choose(x, pass);
        return attention(x, pass, mask);
      };
    }
    return latent_block(c, s, mixer, mlp(s / "mlp", i));
  });
}

}  // namespace

void register_minimax_m3_vl_text(TasksManager& tasks) {
  tasks.register_model<MiniMaxM3OnnxConfig>({.model_type = "minimax_m3_vl_text",
                                             .tasks = nn::text_decoder_tasks({}),
                                             .forward = forward,
                                             .ignorable_keys = {"*mtp.*"},  // predicts further tokens
                                             .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
